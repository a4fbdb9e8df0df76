import { formatRepository, type Repository } from "../image/reference.ts";
import type { RegistryAccess } from "./access.ts";

/** A repository, and where a pipeline says how to reach it. These words are for messages. */
export interface RepositoryPlace {
  /** Names the repository: `repository registry.example/app`. */
  readonly name: string;
  /** The field that gives its name: `source.repository`. */
  readonly field: string;
  /** Where the fields of its host are, after their names: `in the source`. */
  readonly fields: string;
  /** What decides whether its registry lets the user in: `username and password in the source`. */
  readonly login: string;
}

/** @param storeHost the host of the source's own repository, which the fields of the source itself are about */
export function repositoryPlace(
  repository: Repository,
  { field, storeHost, access }: { field: string; storeHost: string | undefined; access: RegistryAccess },
): RepositoryPlace {
  const { host } = repository;
  const fields = host === storeHost ? "in the source" : `for ${host} under "registries" in the source`;
  const login =
    access.aws?.host === host
      ? "the keys and roles of the source's aws_ fields (without any: the worker's own), and what they may do in ECR"
      : `username and password ${fields} (or docker_config)`;
  return { name: `repository ${formatRepository(repository)}`, field, fields, login };
}
