// SPDX-License-Identifier: Apache-2.0
import type { Resource, Review } from "./resource.ts";

const allowed: Review = (question) => ({
  ...question,
  status: { allowed: true, reason: "the lab lets everybody do everything" },
});

/** Reviews are answered at once: whoever is authenticated may do all. */
export const reviews: Readonly<Record<string, Pick<Resource, "review">>> = {
  "authorization.k8s.io/selfsubjectaccessreviews": { review: allowed },
  "authorization.k8s.io/subjectaccessreviews": { review: allowed },
  "authorization.k8s.io/localsubjectaccessreviews": { review: allowed },
  "authorization.k8s.io/selfsubjectrulesreviews": {
    review: (question) => ({
      ...question,
      status: {
        resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
        nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
        incomplete: false,
      },
    }),
  },
  "authentication.k8s.io/selfsubjectreviews": {
    review: (question, caller) => ({
      ...question,
      status: { userInfo: { username: caller.name, groups: [...caller.groups] } },
    }),
  },
  "authentication.k8s.io/tokenreviews": {
    review: (question) => ({
      ...question,
      status: { authenticated: false, error: "the lab reviews no tokens" },
    }),
  },
};
