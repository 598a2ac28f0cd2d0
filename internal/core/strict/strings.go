package strict

// Strings reads a list of at most limit strings. Nil means that it is absent, or wrong.
func (o *Object) Strings(name string, limit int) []string {
	var list []string
	if o.decode(name, &list, "a list of strings") && len(list) > limit {
		o.Fail(name, "has %d elements, the limit is %d", len(list), limit)
		return nil
	}
	return list
}
