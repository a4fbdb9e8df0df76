import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { extract, type Header } from "tar-stream";

export type Member = Header & { readonly bytes: Buffer };

/** The members of a small tar archive, in their order, as another reader than ours sees them. */
export async function readMembers(archive: Uint8Array): Promise<Member[]> {
  const members: Member[] = [];
  for await (const entry of Readable.from([archive]).pipe(extract())) {
    members.push({ ...entry.header, bytes: await buffer(entry) });
  }
  return members;
}
