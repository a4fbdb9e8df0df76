import type { Environment } from "../host/step-context.ts";
import { isTaskParam, ownVariables } from "./task-params.ts";
import { insteadOfVariable } from "./unread-variables.ts";

/** Parts of the names of variables that hold a login, a key or another secret. */
const secretParts =
  /PASSW|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|USERNAME|(PRIVATE|API|ACCESS|SIGNING)_?KEY|(^|_)(PASS|PW|PAT|AUTH|CREDS?|LOGIN)(_|$)/i;

/**
 * Variables by which programs log in themselves: those of the clouds' credential helpers, and the socket of an SSH
 * agent.
 */
const forPrograms = /^((AWS|AZURE|GOOGLE|CLOUDSDK|GCP|GCE)_|SSH_AUTH_SOCK$)/i;

/**
 * The environment for programs that a task starts. It lacks what the task reads, what was meant for it under a wrong
 * name, and whatever else looks like a login: a task's variables hold secrets, and those programs need none of them.
 */
export function environmentForPrograms(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isWithheld(name)));
}

function isWithheld(name: string): boolean {
  return (
    isTaskParam(name) ||
    ownVariables.includes(name) ||
    insteadOfVariable(name) !== undefined ||
    (secretParts.test(name) && !forPrograms.test(name))
  );
}
