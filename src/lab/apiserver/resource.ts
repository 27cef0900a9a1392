// SPDX-License-Identifier: Apache-2.0
import type { Caller } from "./auth.ts";
import type { ErrorSubject, FieldError } from "./errors.ts";
import type { KubeObject } from "./object.ts";
import type { Schema } from "./schema/schema.ts";
import type { SelectableFields } from "./selectors.ts";
import type { TableLayout } from "./tables/table.ts";
import type { NameRule } from "./validate/names.ts";

/** Where the scale subresource finds its numbers; JSON paths without the leading dot. */
export interface ScalePaths {
  readonly replicas: string;
  readonly statusReplicas: string;
  /** Path of a LabelSelector object, or of a text. */
  readonly selector: string;
}

/** Answers an object that is a question; the caller is who asks. */
export type Review = (question: KubeObject, caller: Caller) => KubeObject;

/** What a kind does beyond storing: every member may be left out. */
export interface Behaviour {
  /** Fills in what the client left out; changes the draft. Runs before validation on create and update. */
  readonly defaults?: (draft: KubeObject) => void;
  /** Sets the state a new object starts with. */
  readonly start?: (draft: KubeObject) => void;
  readonly validate?: (object: KubeObject, old: KubeObject | undefined) => readonly FieldError[];
  /** Takes what must be unique in the cluster (addresses, node ports) into the draft; runs last before the write. */
  readonly allocate?: (draft: KubeObject, old: KubeObject | undefined) => readonly FieldError[];
  /** How the kind's names must look; a DNS subdomain unless said otherwise. */
  readonly nameRule?: NameRule;
  /** Of the object as it is stored. */
  readonly fields?: SelectableFields;
  readonly table?: TableLayout;
  /** Of a kind that another one's objects are shown as: these are what is stored. */
  readonly shownAs?: {
    readonly storage: string;
    readonly toStored: (object: KubeObject) => KubeObject;
    readonly fromStored: (stored: KubeObject) => KubeObject;
  };
}

/** One served kind in one version: what discovery says of it and how it behaves. */
export interface Resource extends ErrorSubject, Behaviour {
  readonly version: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly schema: Schema;
  readonly status: boolean;
  readonly scale?: ScalePaths;
  /** Asked and answered, not stored: access reviews. */
  readonly review?: Review;
  /** Defined by a CustomResourceDefinition. */
  readonly custom: boolean;
  /** Name of its objects in the store: `group/plural`, whatever the version. */
  readonly storage: string;
}

export function apiVersionOf(resource: { group: string; version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** An object as one of its kind's versions says it: versions of custom kinds differ in name only, as with conversion strategy None. */
export function inVersion(resource: Resource, object: KubeObject): KubeObject {
  if (!resource.custom && !resource.shownAs) return object;
  const apiVersion = apiVersionOf(resource);
  if (resource.shownAs)
    return object.apiVersion === apiVersion ? object : resource.shownAs.fromStored(object);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

/** The served kinds, found by group, version and plural; changes when CustomResourceDefinitions come and go. */
export class Catalog {
  readonly #resources = new Map<string, Resource>();
  #generation = 0;

  /** Counts up with each change: whoever caches discovery or OpenAPI documents compares it. */
  get generation(): number {
    return this.#generation;
  }

  add(resource: Resource): void {
    this.#resources.set(`${resource.group}/${resource.version}/${resource.plural}`, resource);
    this.#generation++;
  }

  remove(group: string, version: string, plural: string): void {
    if (this.#resources.delete(`${group}/${version}/${plural}`)) this.#generation++;
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#resources.get(`${group}/${version}/${plural}`);
  }

  /** By kind, in any version when `version` is not served. */
  findKind(apiVersion: string, kind: string): Resource | undefined {
    return this.all().find((resource) => resource.kind === kind && apiVersionOf(resource) === apiVersion);
  }

  all(): Resource[] {
    return [...this.#resources.values()];
  }
}
