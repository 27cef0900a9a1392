// SPDX-License-Identifier: Apache-2.0
import {
  type JsonObject,
  type KubeObject,
  listAt,
  numberAt,
  objectAt,
  stringAt,
  stringsAt,
  valueAt,
} from "../object.ts";
import { selectorText } from "../selectors.ts";
import { ageOf, columns, labelsText, nameOf, orNone, orText, type TableLayout } from "./table.ts";

export const serviceTable: TableLayout = {
  columns: columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "!Selector"),
  cells: (object) => [
    nameOf(object),
    stringAt(object, "spec", "type"),
    orText(valueAt(object, "spec", "clusterIP"), "<none>"),
    externalIp(object),
    orNone(listAt(object, "spec", "ports").map(portText)),
    ageOf(object),
    labelsText(objectAt(object, "spec", "selector")),
  ],
};

function externalIp(service: KubeObject): string {
  const extra = stringsAt(service, "spec", "externalIPs");
  switch (stringAt(service, "spec", "type")) {
    case "ExternalName":
      return stringAt(service, "spec", "externalName");
    case "LoadBalancer": {
      const given = listAt(service, "status", "loadBalancer", "ingress").map(
        (item) => stringAt(item, "ip") || stringAt(item, "hostname"),
      );
      const all = [...given, ...extra];
      return all.length > 0 ? all.join(",") : "<pending>";
    }
    default:
      return orNone(extra);
  }
}

function portText(port: JsonObject): string {
  const node = numberAt(port, "nodePort");
  return `${numberAt(port, "port")}${node > 0 ? `:${node}` : ""}/${stringAt(port, "protocol")}`;
}

/** More than three are counted, as kubectl does. */
function firstThree(items: readonly string[]): string {
  if (items.length <= 3) return orNone(items);
  return `${items.slice(0, 3).join(",")} + ${items.length - 3} more...`;
}

export const endpointsTable: TableLayout = {
  columns: columns("Name", "Endpoints", "Age"),
  cells: (object) => {
    const all = listAt(object, "subsets").flatMap((subset) => {
      const ips = listAt(subset, "addresses").map((address) => stringAt(address, "ip"));
      const ports = listAt(subset, "ports").map((port) => numberAt(port, "port"));
      if (ports.length === 0) return ips;
      return ports.flatMap((port) =>
        ips.map((ip) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`)),
      );
    });
    return [nameOf(object), firstThree(all), ageOf(object)];
  },
};

export const endpointSliceTable: TableLayout = {
  columns: columns("Name", "AddressType", "Ports", "Endpoints", "Age"),
  cells: (object) => {
    const ports = listAt(object, "ports").map((port) => orText(port["port"], "*"));
    const addresses = listAt(object, "endpoints").flatMap((endpoint) => stringsAt(endpoint, "addresses"));
    const portCell = ports.length === 0 ? "<unset>" : firstThree(ports);
    const addressCell = addresses.length === 0 ? "<unset>" : firstThree(addresses);
    return [nameOf(object), stringAt(object, "addressType"), portCell, addressCell, ageOf(object)];
  },
};

export const networkPolicyTable: TableLayout = {
  columns: columns("Name", "Pod-Selector", "Age"),
  cells: (object) => [
    nameOf(object),
    orText(selectorText(objectAt(object, "spec", "podSelector")), "<none>"),
    ageOf(object),
  ],
};

export const ingressTable: TableLayout = {
  columns: columns("Name", "Class", "Hosts", "Address", "Ports", "Age"),
  cells: (object) => {
    const hosts = listAt(object, "spec", "rules").map((rule) => stringAt(rule, "host") || "*");
    const addresses = listAt(object, "status", "loadBalancer", "ingress").map(
      (item) => stringAt(item, "ip") || stringAt(item, "hostname"),
    );
    const ports = listAt(object, "spec", "tls").length > 0 ? "80, 443" : "80";
    return [
      nameOf(object),
      orText(valueAt(object, "spec", "ingressClassName"), "<none>"),
      hosts.length > 0 ? firstThree(hosts) : "*",
      addresses.join(","),
      ports,
      ageOf(object),
    ];
  },
};

export const ingressClassTable: TableLayout = {
  columns: columns("Name", "Controller", "Parameters", "Age"),
  cells: (object) => {
    const parameters = objectAt(object, "spec", "parameters");
    const text = parameters["kind"]
      ? `${stringAt(parameters, "kind")}/${stringAt(parameters, "name")}`
      : "<none>";
    return [nameOf(object), stringAt(object, "spec", "controller"), text, ageOf(object)];
  },
};
