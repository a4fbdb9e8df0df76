import { testRefusing, testUnpacking } from "../support/images/unpacking.ts";
import { fifo, file, folder, hardlink, opaque, symlink, whiteout } from "../support/tar/members.ts";

const lower = [file("d/x"), file("d/sub/x"), folder("d/full"), file("d/full/x")];
/** Of a marker among three entries. */
const places = [
  ["first", 0],
  ["in the middle", 1],
  ["last", 3],
] as const;

testUnpacking([
  {
    what: "a whiteout hides lower layers only, whether it comes before or after the new file",
    layers: [
      [file("etc/a", "old"), file("etc/b", "old"), file("etc/c", "old")],
      [file("etc/a", "new"), whiteout("etc/a"), whiteout("etc/b"), file("etc/b", "new"), whiteout("etc/c")],
    ],
    holds: { "etc/a": "new", "etc/b": "new" },
  },
  ...places.map(([place, at]) => ({
    what: `an opaque marker that comes ${place} hides lower content only`,
    layers: [lower, [file("d/a"), file("d/sub/new"), file("d/z")].toSpliced(at, 0, opaque("d"))],
    holds: { "d/a": "d/a", "d/sub/new": "d/sub/new", "d/z": "d/z" },
  })),
  ...places.map(([place, at]) => ({
    what: `an opaque marker that comes ${place} with an entry for its folder hides lower content only`,
    layers: [lower, [folder("d"), file("d/sub/new"), file("d/z")].toSpliced(at, 0, opaque("d"))],
    holds: { "d/sub/new": "d/sub/new", "d/z": "d/z" },
  })),
  {
    what: "an opaque marker leaves what its layer has put into a subfolder without an entry of its own",
    layers: [[file("d/old")], [folder("d"), file("d/sub/x"), opaque("d")]],
    holds: { "d/sub/x": "d/sub/x" },
  },
  {
    what: "an opaque root hides all lower layers",
    layers: [lower, [file("a"), { flag: "0", path: ".wh..wh..opq" }, file("b")]],
    holds: { a: "a", b: "b" },
  },
  {
    what: "an opaque folder hides again what a layer between has put there",
    layers: [lower, [opaque("d"), file("d/y")], [opaque("d"), file("d/z")]],
    holds: { "d/z": "d/z" },
  },
  {
    what: "a whiteout or an opaque marker of what doesn't exist does nothing",
    layers: [[file("a")], [whiteout("b"), whiteout("c/d"), opaque("e"), whiteout("a/x"), opaque("a")]],
    holds: { a: "a" },
  },
  {
    what: "a whiteout of one name of a file leaves its other names",
    layers: [[file("a"), hardlink("b", "a")], [whiteout("a")]],
    holds: { b: "a" },
  },
  {
    what: "the names that aufs reserved are not created, nor is what they hold",
    layers: [
      [folder(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file("d/.wh..wh.aufs"), file("a")],
      [file(".wh..wh.orph/x/y"), hardlink(".wh..wh.plnk/3.4", "a"), symlink(".wh..wh.s", "/")],
    ],
    holds: { a: "a" },
  },
  {
    what: "whiteouts remove full folders, symlinks and FIFOs, and not what symlinks lead to",
    layers: [
      [
        file("d/e/f"),
        file("d/g"),
        file("target"),
        symlink("s", "target"),
        fifo("p"),
        file("t/x"),
        symlink("l", "t"),
      ],
      [whiteout("d"), whiteout("s"), whiteout("p"), whiteout("l")],
    ],
    holds: { target: "target", "t/x": "t/x" },
  },
  {
    what: "a whiteout counts by its name, whatever type it has, and its body is read over",
    layers: [
      [file("a"), file("b"), file("c"), file("d"), file("e"), file("f")],
      [
        { ...whiteout("a"), flag: "5", path: ".wh.a/" },
        { ...whiteout("b"), flag: "2", link: "/etc/passwd" },
        whiteout("c", { content: Buffer.alloc(5000, "body") }),
        { ...whiteout("d"), flag: "1", link: "e" },
        { ...whiteout("e"), flag: "6" },
        file("g"),
      ],
    ],
    holds: { f: "f", g: "g" },
  },
  {
    what: "a whiteout through a symlink that leads out stays inside, and so does an opaque marker",
    layers: ({ canary }) => [
      [symlink("e", canary), symlink("dots", "../canary"), file("canary/victim"), file("f")],
      [
        whiteout("e/victim"),
        opaque("e"),
        whiteout("dots/victim"),
        opaque("dots"),
        whiteout("e/folder/inner"),
      ],
    ],
    holds: ({ canary }) => ({ canary: "/", dots: "-> ../canary", e: `-> ${canary}`, f: "f" }),
  },
  {
    what: "a whiteout that climbs out stays inside",
    layers: [
      [file("canary/victim"), file("a")],
      [whiteout("../canary/victim"), whiteout("../../a")],
    ],
    holds: { canary: "/" },
  },
]);

testRefusing([
  { what: "a whiteout of no name", layers: [[{ flag: "0", path: ".wh." }]], message: /hides no name/ },
  {
    what: "a whiteout of no name in a folder",
    layers: [[{ flag: "0", path: "d/.wh." }]],
    message: /hides no name/,
  },
  {
    what: "a whiteout of the folder itself",
    layers: [[{ flag: "0", path: ".wh.." }]],
    message: /hides no name/,
  },
  {
    what: "a whiteout of the folder itself in a folder",
    layers: [[file("d/x")], [{ flag: "0", path: "d/.wh.." }]],
    message: /hides no name/,
  },
  {
    what: "a whiteout of the folder above",
    layers: [[{ flag: "0", path: ".wh..." }]],
    message: /hides no name/,
  },
  {
    what: "a whiteout of the folder above a folder",
    layers: [[file("d/x")], [{ flag: "0", path: "d/.wh..." }]],
    message: /hides no name/,
  },
  { what: "a name below a whiteout", layers: [[file("d/.wh.x/y")]], message: /inside a whiteout/ },
  { what: "a whiteout below a whiteout", layers: [[whiteout("d/.wh.x/y")]], message: /inside a whiteout/ },
]);
