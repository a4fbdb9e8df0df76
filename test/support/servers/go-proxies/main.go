// Prints the proxy that Go's programs use for each URL of the arguments, one a line: empty for none. The proxies are
// those of the environment.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	for _, url := range os.Args[1:] {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			panic(err)
		}
		proxy, err := http.ProxyFromEnvironment(request)
		if err != nil {
			panic(err)
		}
		if proxy == nil {
			fmt.Println()
		} else {
			fmt.Println(proxy.Scheme + "://" + proxy.Host)
		}
	}
}
