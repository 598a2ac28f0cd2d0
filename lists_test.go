package seatrial

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// partStore is what a plane keeps of member lists. It is guarded by the plane's lock.
type partStore struct {
	data  map[string][]byte // by digest; what is not there is not found
	asked []string
}

func (p *plane) part(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer key" {
		p.t.Errorf("Authorization = %q", r.Header.Get("Authorization"))
	}
	digest := r.PathValue("digest")
	p.parts.asked = append(p.parts.asked, digest)
	data, ok := p.parts.data[digest]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write(data)
}

// asked gives the parts that were asked for since the last call.
func (p *plane) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.parts.asked
	p.parts.asked = nil
	return asked
}

// keep puts parts into the plane, or takes them away.
func (p *plane) keep(parts map[string][]byte, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parts.data == nil {
		p.parts.data = map[string][]byte{}
	}
	for digest, data := range parts {
		if p.parts.data[digest] = data; !there {
			delete(p.parts.data, digest)
		}
	}
}

const testHashKey = "000102030405060708090a0b0c0d0e0f"

// listPart gives the part that names users.
func listPart(t testing.TB, removes bool, users ...string) (flag.ListPart, []byte) {
	t.Helper()
	key, err := members.ParseKey(testHashKey)
	if err != nil {
		t.Fatal(err)
	}
	c := members.NewCollector(key)
	for _, user := range users {
		c.Add(user)
	}
	data := c.Edits()[0].Part.Bytes()
	sum := sha256.Sum256(data)
	return flag.ListPart{Digest: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Removes: removes}, data
}

// listed gives a state with a flag that is on for beta, which has these parts, and the kill switch.
func listed(revision int64, count int, kill bool, parts ...flag.ListPart) flag.Set {
	f := release("f")
	f.Rules = []flag.Rule{{When: &flag.Condition{Segment: "beta"}, Serve: "on"}}
	k := release("kill")
	if kill {
		k.DefaultVariant = "on"
	}
	return setAt(revision, f, k, flag.Segment{Key: "beta", List: &flag.List{HashKey: testHashKey, Count: count, Parts: parts}})
}

func wantMembers(t *testing.T, c *Client, when string, want map[string]bool) {
	t.Helper()
	for user, on := range want {
		if got := c.Bool(WithContext(t.Context(), NewContext(user)), "f", false); got != on {
			t.Errorf("%s: %s gets %v, want %v", when, user, got, on)
		}
	}
}

func wantBehind(t *testing.T, c *Client, when string, revision int64, want ...string) {
	t.Helper()
	if s := c.Status(); s.Revision != revision || !slices.Equal(s.ListsBehind, want) {
		t.Errorf("%s: revision %d, behind %q, want %d and %q", when, s.Revision, s.ListsBehind, revision, want)
	}
}

func TestListsAreFetchedPartByPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, firstData := listPart(t, false, "ana", "bo")
		second, secondData := listPart(t, true, "bo")
		third, thirdData := listPart(t, false, "cy")
		p := newPlane(t, listed(1, 2, false, first))
		p.keep(map[string][]byte{first.Digest: firstData, second.Digest: secondData, third.Digest: thirdData}, true)
		c := p.open()
		wantMembers(t, c, "at first", map[string]bool{"ana": true, "bo": true, "cy": false, "": false})
		if asked := p.asked(); !slices.Equal(asked, []string{first.Digest}) {
			t.Errorf("asked for %q", asked)
		}
		p.publish(listed(2, 1, true, first, second)) // bo goes
		synctest.Wait()
		wantMembers(t, c, "later", map[string]bool{"ana": true, "bo": false, "cy": false})
		p.publish(listed(3, 2, false, first, second, third))
		synctest.Wait()
		wantMembers(t, c, "last", map[string]bool{"ana": true, "bo": false, "cy": true})
		wantBehind(t, c, "last", 3)
		if asked := p.asked(); !slices.Equal(asked, []string{second.Digest, third.Digest}) {
			t.Errorf("asked for %q, want the new parts only", asked)
		}
		p.publish(listed(4, 1, false, third)) // begun anew
		synctest.Wait()
		wantMembers(t, c, "anew", map[string]bool{"ana": false, "cy": true})
		p.publish(setAt(5, release("f"))) // no list any more
		synctest.Wait()
		if n := len(c.lists.sets) + len(c.lists.parts) + len(c.lists.last); n != 0 {
			t.Errorf("%d lists and parts are still in memory", n)
		}
	})
}

func TestLateListHoldsUpNothingForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, firstData := listPart(t, false, "ana", "bo")
		second, secondData := listPart(t, false, "cy")
		p := newPlane(t, listed(1, 2, false, first))
		p.keep(map[string][]byte{first.Digest: firstData}, true)
		c := p.open()
		p.publish(listed(2, 3, true, first, second)) // whose part is not there
		time.Sleep(listWait - time.Second)
		wantBehind(t, c, "while it waits", 1)
		wantMembers(t, c, "while it waits", map[string]bool{"ana": true, "cy": false})
		time.Sleep(2 * time.Second)
		wantBehind(t, c, "after that", 2, "beta")
		wantMembers(t, c, "after that", map[string]bool{"ana": true, "cy": false})
		if !c.Bool(t.Context(), "kill", false) {
			t.Error("what else is in the snapshot is not in force")
		}
		p.publish(listed(3, 3, false, first, second)) // is not held back again
		time.Sleep(100 * time.Millisecond)
		wantBehind(t, c, "the next change", 3, "beta")
		p.keep(map[string][]byte{second.Digest: secondData}, true)
		time.Sleep(2 * partRetryMax)
		wantBehind(t, c, "when the part is there", 3)
		wantMembers(t, c, "when the part is there", map[string]bool{"ana": true, "cy": true})
		p.asked()
		time.Sleep(time.Hour)
		if asked := p.asked(); len(asked) != 0 {
			t.Errorf("asked for %d parts in an hour in which nothing happened", len(asked))
		}
	})
}

func TestListsThatAreNotWhatTheySay(t *testing.T) {
	first, firstData := listPart(t, false, "ana", "bo")
	other, _ := listPart(t, false, "eve")
	_, sameLength := listPart(t, false, "zoe")
	noPart := []byte("nothing of the kind")
	noSum := sha256.Sum256(noPart)
	noDigest := hex.EncodeToString(noSum[:])
	huge := flag.ListPart{Digest: other.Digest, Bytes: maxListBytes}
	tests := map[string]struct {
		set  flag.Set
		data map[string][]byte
		asks bool
	}{
		"other bytes":      {listed(2, 1, false, other), map[string][]byte{other.Digest: firstData}, true},
		"another part":     {listed(2, 1, false, other), map[string][]byte{other.Digest: sameLength}, true},
		"more bytes":       {listed(2, 1, false, other), map[string][]byte{other.Digest: make([]byte, 10<<20)}, true},
		"no part":          {listed(2, 1, false, flag.ListPart{Digest: noDigest, Bytes: int64(len(noPart))}), map[string][]byte{noDigest: noPart}, true},
		"another count":    {listed(2, 9, false, first), nil, false},
		"too large in all": {listed(2, 1, false, huge, huge), nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, listed(1, 2, false, first))
				p.keep(map[string][]byte{first.Digest: firstData}, true)
				p.keep(test.data, true)
				c := p.open()
				p.asked()
				p.publish(test.set)
				time.Sleep(listWait + time.Second)
				wantBehind(t, c, "then", 2, "beta")
				wantMembers(t, c, "then", map[string]bool{"ana": true, "eve": false})
				if asked := p.asked(); len(asked) > 0 != test.asks {
					t.Errorf("asked %d times", len(asked))
				}
			})
		})
	}
}

func TestListsAreKeptBesideTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "snapshot.json")
		first, firstData := listPart(t, false, "ana", "bo")
		second, secondData := listPart(t, false, "cy")
		p := newPlane(t, listed(1, 2, false, first))
		p.keep(map[string][]byte{first.Digest: firstData, second.Digest: secondData}, true)
		c := p.open(WithFile(path))
		time.Sleep(time.Minute)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		folder := path + ".parts"
		for name, want := range map[string]fs.FileMode{folder: 0o700 | fs.ModeDir, filepath.Join(folder, first.Digest): 0o600} {
			if info, err := os.Stat(name); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, error %v, want mode %v", name, info, err, want)
			}
		}
		// Without a control plane the list comes from the folder …
		alone, err := Open(t.Context(), WithFile(path))
		if err != nil {
			t.Fatal(err)
		}
		wantMembers(t, alone, "alone", map[string]bool{"ana": true, "cy": false})
		wantBehind(t, alone, "alone", 1)
		if err := alone.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// … also beside one, which is asked for what is new only …
		p.asked()
		p.change(listed(2, 3, false, first, second))
		c = p.open(WithFile(path))
		wantMembers(t, c, "again", map[string]bool{"ana": true, "cy": true})
		if asked := p.asked(); !slices.Equal(asked, []string{second.Digest}) {
			t.Errorf("asked for %q", asked)
		}
		time.Sleep(time.Minute)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// … and for what was damaged.
		if err := os.WriteFile(filepath.Join(folder, first.Digest), secondData, 0o600); err != nil {
			t.Fatal(err)
		}
		c = p.open(WithFile(path))
		time.Sleep(time.Minute)
		wantBehind(t, c, "mended", 2)
		if data, err := os.ReadFile(filepath.Join(folder, first.Digest)); err != nil || string(data) != string(firstData) {
			t.Errorf("%x, error %v", data, err)
		}
	})
}

func TestPartsThatNobodyNamesAreSwept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot.json")
	first, firstData := listPart(t, false, "ana", "bo")
	m := newMemberLists(&Client{config: config{file: path}})
	write := func(name string, age time.Duration) {
		t.Helper()
		if err := m.writePart(flag.ListPart{Digest: name}, firstData); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(path+".parts", name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	write(first.Digest, 300*time.Hour)
	write("young", 23*time.Hour)
	write("old", 25*time.Hour)
	set := listed(2, 2, false, first)
	m.sweep(&set)
	for name, want := range map[string]bool{first.Digest: true, "young": true, "old": false} {
		if _, err := os.Stat(filepath.Join(path+".parts", name)); errors.Is(err, fs.ErrNotExist) == want {
			t.Errorf("%s: error %v", name, err)
		}
	}
	set = listed(3, 0, false) // named until now, so it is young
	m.sweep(&set)
	if _, err := os.Stat(filepath.Join(path+".parts", first.Digest)); err != nil {
		t.Errorf("what an older file may name: %v", err)
	}
}

// Swapping lists does not disturb evaluation.
func TestListsWhileEvaluating(t *testing.T) {
	p := newPlane(t, setAt(1, release("f")))
	c := p.open()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ctx := WithContext(context.Background(), NewContext("user-0"))
		on := false
		for {
			select {
			case <-stop:
				return
			default:
			}
			got := c.Bool(ctx, "f", false)
			if on && !got {
				t.Error("a member was taken for a stranger")
				return
			}
			on = got
		}
	}()
	var parts []flag.ListPart
	for revision := int64(2); revision < 30; revision++ {
		part, data := listPart(t, false, fmt.Sprint("user-", revision-2))
		p.keep(map[string][]byte{part.Digest: data}, true)
		parts = append(parts, part)
		p.publish(listed(revision, len(parts), false, parts...))
		if err := c.WaitRevision(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		wantMembers(t, c, "at once", map[string]bool{fmt.Sprint("user-", revision-2): true})
	}
	close(stop)
	<-ended
}

// What was got of lists that no snapshot names any more is forgotten, also while others are missing.
func TestPartsOfFormerListsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1, release("f")))
		c := p.open()
		for i := range int64(10) {
			there, data := listPart(t, false, fmt.Sprint("ana ", i))
			missing, _ := listPart(t, false, fmt.Sprint("bo ", i))
			p.keep(map[string][]byte{there.Digest: data}, true)
			p.publish(listed(i+2, 2, false, there, missing))
			time.Sleep(2 * listWait)
		}
		c.lists.mu.Lock()
		defer c.lists.mu.Unlock()
		if len(c.lists.parts) != 1 || len(c.lists.late) != 1 {
			t.Errorf("%d parts are in memory, and %d lists are late; want one each", len(c.lists.parts), len(c.lists.late))
		}
	})
}

// A state that makes no sense is refused like any other, although lists are asked for before.
func TestAListOfNegativeLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1, release("f")))
		c := p.open()
		part, _ := listPart(t, false, "ana")
		part.Bytes = -2
		p.publish(listed(2, 1, false, part))
		time.Sleep(2 * listWait)
		if s := c.Status(); s.Revision != 1 || s.Error == nil {
			t.Errorf("revision %d, error %v", s.Revision, s.Error)
		}
	})
}
