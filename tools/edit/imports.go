//go:build edited

package main

// What only edited source imports. Without this, go mod tidy would take it out of go.mod.
import (
	_ "github.com/klauspost/pgzip"
	_ "github.com/klauspost/readahead"
)
