package strict

// Strings reads a list of at most limit strings; nil if it is absent or null.
func (o *Object) Strings(name string, limit int) []string {
	var list []string
	switch {
	case !o.decode(name, &list, "a list of strings"):
		return nil
	case len(list) > limit:
		o.Fail(name, "has %d elements, the limit is %d", len(list), limit)
		return nil
	default:
		return list
	}
}
