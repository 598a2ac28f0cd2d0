package lists_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// lines gives "user-from" and so on, n of them, without holding them.
type lines struct{ next, end int }

func (l *lines) Read(b []byte) (n int, err error) {
	if l.next == l.end {
		return 0, io.EOF
	}
	for ; l.next < l.end && len(b)-n > 32; l.next++ {
		n += copy(b[n:], "user-")
		n += len(strconv.AppendInt(b[n:n], int64(l.next), 10))
		b[n] = '\n'
		n++
	}
	return n, nil
}

// What an upload costs on disk, and the most memory that the process had in use meanwhile: the
// test's own and the store's included.
func BenchmarkUpload(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("replace/%dM", n/1_000_000), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				service := onDisk(b)
				peak := watchMemory()
				b.StartTimer()
				if _, err := service.Replace(context.Background(), "beta", &lines{0, n}, by); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(peak())/(1<<20), "MiB-peak")
				b.StartTimer()
			}
		})
	}
	for _, n := range []int{1_000_000, 9_000_000} {
		b.Run(fmt.Sprintf("add1000to/%dM", n/1_000_000), func(b *testing.B) {
			service := onDisk(b)
			if _, err := service.Replace(context.Background(), "beta", &lines{0, n}, by); err != nil {
				b.Fatal(err)
			}
			for from := n; b.Loop(); from += 1000 {
				if _, err := service.Add(context.Background(), "beta", &lines{from, from + 1000}, by); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func onDisk(b *testing.B) *lists.Service {
	b.Helper()
	store, err := sqlite.Open(b.Context(), b.TempDir(), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	loader := lists.NewLoader(lists.LoaderConfig{Blobs: store})
	service, err := control.New(b.Context(), control.Config{Log: store, Journal: store, Lists: loader})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := service.PutSegment(b.Context(), flag.Segment{Key: "beta"}, by); err != nil {
		b.Fatal(err)
	}
	return lists.New(lists.Config{Segments: service, Loader: loader})
}

// watchMemory gives a function that ends the watch and gives the most memory that was in use.
func watchMemory() func() uint64 {
	stop, result := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for {
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(20 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return func() uint64 { close(stop); return <-result }
}
