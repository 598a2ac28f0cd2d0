// Command quickstart is the program of the README: a web server with one flag.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/seatrialhttp"
)

func main() {
	client, err := seatrial.Open(context.Background(), seatrial.WithService("shop"))
	if err != nil {
		log.Fatal(err)
	}
	express := client.BoolFlag("express-checkout", false)
	http.HandleFunc("/checkout", func(w http.ResponseWriter, r *http.Request) {
		ctx := seatrial.WithContext(r.Context(), seatrial.NewContext(r.Header.Get("X-User")))
		fmt.Fprintln(w, "express checkout:", express.Get(ctx))
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", seatrialhttp.NewHandler(client, http.DefaultServeMux)))
}
