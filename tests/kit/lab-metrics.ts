// SPDX-License-Identifier: Apache-2.0

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads the Prometheus text format, as far as our own server writes it. */
export async function scrape(url: string): Promise<Sample[]> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  if (answer.status !== 200) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return (await answer.text()).split("\n").flatMap((line) => {
    const match = /^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) return [];
    const labels = [...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [
      key,
      value,
    ]);
    return [
      {
        name: match[1]!,
        labels: Object.fromEntries(labels) as Record<string, string>,
        value: Number(match[3]),
      },
    ];
  });
}
