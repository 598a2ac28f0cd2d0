package evidence

import (
	"encoding/binary"
	"fmt"
	"math"
)

// pack writes numbers as eight bytes each, little endian, which JSON shows in base64: two thirds
// of the length of decimals, and every bit. Numbers that are all 0 are left out.
func pack(numbers []float64) []byte {
	zero := true
	data := make([]byte, 0, 8*len(numbers))
	for _, v := range numbers {
		zero = zero && math.Float64bits(v) == 0
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	if zero {
		return nil
	}
	return data
}

// unpack restores what pack wrote; no data is all 0. Another number of numbers, or one that is not
// finite, comes from other rules or a damaged store and is refused.
func unpack(data []byte, numbers []float64) error {
	if len(data) == 0 {
		clear(numbers)
		return nil
	}
	if len(data) != 8*len(numbers) {
		return fmt.Errorf("stored state has %d bytes, want %d; start the process anew", len(data), 8*len(numbers))
	}
	for i := range numbers {
		numbers[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		if math.IsNaN(numbers[i]) || math.IsInf(numbers[i], 0) {
			return fmt.Errorf("stored number %d is not finite; start the process anew", i)
		}
	}
	return nil
}
