// Reads tar archives with Go's archive/tar, for the tests of our own reader: from stdin one archive a line, in
// base64; to stdout one line of JSON for each, with the members up to the end or the first error.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// Sparse files may be of any size, so only the start of each file's content is compared.
const compared = 256 * 1024

type time struct {
	Seconds     int64 `json:"seconds"`
	Nanoseconds int   `json:"nanoseconds"`
}

type member struct {
	Flag     byte              `json:"flag"`
	Path     []byte            `json:"path"`
	Link     []byte            `json:"link"`
	Mode     int64             `json:"mode"`
	Uid      int               `json:"uid"`
	Gid      int               `json:"gid"`
	Mtime    time              `json:"mtime"`
	Atime    *time             `json:"atime"`
	Size     int64             `json:"size"`
	DevMajor int64             `json:"devMajor"`
	DevMinor int64             `json:"devMinor"`
	Xattrs   map[string][]byte `json:"xattrs"`
	Content  string            `json:"content"`
}

type result struct {
	Members []member `json:"members"`
	Error   string   `json:"error"`
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		archive, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(line)))
		if err != nil {
			panic(err)
		}
		answer, err := json.Marshal(read(archive))
		if err != nil {
			panic(err)
		}
		out.Write(append(answer, '\n'))
		out.Flush()
	}
}

func read(archive []byte) result {
	found := result{Members: []member{}}
	// Without Seek, so that what is cut off is missed.
	reader := tar.NewReader(struct{ io.Reader }{bytes.NewReader(archive)})
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		var next member
		if err == nil {
			next, err = describe(header, reader)
		}
		if err != nil {
			found.Error = err.Error()
			return found
		}
		if header.Typeflag != tar.TypeXGlobalHeader {
			found.Members = append(found.Members, next)
		}
	}
}

func describe(header *tar.Header, content io.Reader) (member, error) {
	found := member{
		Flag: header.Typeflag, Path: []byte(header.Name), Link: []byte(header.Linkname), Mode: header.Mode,
		Uid: header.Uid, Gid: header.Gid, Mtime: time{header.ModTime.Unix(), header.ModTime.Nanosecond()},
		Size: header.Size, DevMajor: header.Devmajor, DevMinor: header.Devminor,
	}
	if !header.AccessTime.IsZero() {
		found.Atime = &time{header.AccessTime.Unix(), header.AccessTime.Nanosecond()}
	}
	for name, value := range header.PAXRecords {
		if name, is := bytes.CutPrefix([]byte(name), []byte("SCHILY.xattr.")); is && value != "" {
			if found.Xattrs == nil {
				found.Xattrs = map[string][]byte{}
			}
			found.Xattrs[base64.StdEncoding.EncodeToString(name)] = []byte(value)
		}
	}
	hash := sha256.New()
	_, err := io.CopyN(hash, content, compared)
	found.Content = hex.EncodeToString(hash.Sum(nil))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return found, err
}
