package sqlite

import (
	"errors"
	"fmt"
	"syscall"
)

// errSharingViolation is ERROR_SHARING_VIOLATION.
const errSharingViolation = syscall.Errno(32)

// fileLock keeps other processes out of the directory: nobody else can open a file that is open
// without sharing. The operating system gives it up when the process dies.
type fileLock struct{ handle syscall.Handle }

func acquireLock(path string) (*fileLock, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, fmt.Errorf("%w by another process: stop it, or use another directory", ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	return &fileLock{handle}, nil
}

func (l *fileLock) release() error { return syscall.CloseHandle(l.handle) }

// syncDir does nothing: the file system journals names.
func syncDir(string) error { return nil }
