package sqlite

import (
	"fmt"
	"os"
	"syscall"
)

// syncData makes the content of a file of unchanged size durable.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// networkFileSystems by the magic numbers of statfs(2): on these neither locks nor the shared
// memory of a WAL can be relied on.
var networkFileSystems = map[uint32]string{
	0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x517b: "SMB", 0x00c36400: "Ceph", 0x01021997: "9p", 0x47504653: "GPFS",
}

// checkFileSystem refuses directories that other machines can write to.
func checkFileSystem(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil // cannot tell
	}
	if name, ok := networkFileSystems[uint32(st.Type)]; ok {
		return fmt.Errorf("it is on a network file system (%s), which cannot keep a SQLite log safe: use a local directory", name)
	}
	return nil
}
