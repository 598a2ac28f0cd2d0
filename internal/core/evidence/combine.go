package evidence

import (
	"math"
	"slices"
)

// MeanLogE is the log of the mean of the e-values with the given logs: the evidence that at
// least one of their hypotheses is false, valid under any dependence between them. Without
// values it is 0.
func MeanLogE(logs ...float64) float64 {
	if len(logs) == 0 {
		return 0
	}
	return logSumExp(logs) - ln(float64(len(logs)))
}

// WeightedMeanLogE is [MeanLogE] with weights; they must be fixed in advance. Weights that are
// missing or not positive and finite leave their value out; if none is left it is 0.
func WeightedMeanLogE(logs, weights []float64) float64 {
	top, total := math.Inf(-1), 0.0
	usable := func(i int) bool { return usableWeight(weights, i) > 0 }
	for i, v := range logs {
		if usable(i) {
			top = max(top, v)
			total += weights[i]
		}
	}
	if total == 0 || math.IsInf(top, 0) {
		return max(top, 0)
	}
	sum := 0.0
	for i, v := range logs {
		if usable(i) {
			sum += float64(weights[i] / total * exp(v-top))
		}
	}
	return top + ln(sum)
}

// Blame names the hypotheses (by index, the strongest evidence first) that closed testing
// rejects at family level alpha after an alarm of [MeanLogE]: those j for which the mean over
// every set that contains j reaches 1/alpha. The chance that it ever names a true one is at most
// alpha, under any dependence (Vovk and Wang, "E-values: Calibration, combination and
// applications", Ann. Statist. 49, 2021). It may be empty although the mean alarms. alpha
// outside (0, 1) names none.
func Blame(logs []float64, alpha float64) []int { return blame(logs, nil, alpha) }

// BlameWeighted is [Blame] after an alarm of [WeightedMeanLogE]: closed testing in which every set
// of hypotheses is tested by its weighted mean. Weights must be fixed in advance; a hypothesis
// whose weight is missing or not positive and finite is never named.
func BlameWeighted(logs, weights []float64, alpha float64) []int {
	if weights == nil {
		weights = []float64{}
	}
	return blame(logs, weights, alpha)
}

// blame names by closed testing; nil weights are equal ones.
func blame(logs, weights []float64, alpha float64) []int {
	if !(alpha > 0 && alpha < 1) {
		return nil
	}
	// The worst set for j is j with all others whose e-value is under 1/alpha.
	excess := make([]float64, len(logs)) // weight·(alpha·E - 1)
	deficit := 0.0
	for i, v := range logs {
		excess[i] = exp(v+ln(alpha)) - 1
		if weights != nil {
			excess[i] = float64(excess[i] * usableWeight(weights, i))
		}
		deficit += min(excess[i], 0)
	}
	var named []int
	for i, x := range excess {
		weighed := weights == nil || usableWeight(weights, i) > 0
		if weighed && x-min(x, 0)+deficit >= 0 && x >= 0 {
			named = append(named, i)
		}
	}
	slices.SortStableFunc(named, func(a, b int) int { return -compareFloat(logs[a], logs[b]) })
	return named
}

// EBH names the hypotheses (by index, the strongest evidence first) that e-BH rejects: the k with
// the largest e-values, for the greatest k whose k-th largest is at least n/(k·alpha). The expected
// share of true ones among the named is at most alpha, under any dependence (Wang and Ramdas, "False
// discovery rate control with e-values", J. R. Stat. Soc. B 84, 2022). It is for long lists to look
// into, not for rolling back: use [Blame] there. alpha outside (0, 1) names none.
func EBH(logs []float64, alpha float64) []int {
	if !(alpha > 0 && alpha < 1) {
		return nil
	}
	order := make([]int, len(logs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return -compareFloat(logs[a], logs[b]) })
	named := 0
	for i, at := range order {
		if logs[at]+ln(float64(i+1)) >= ln(float64(len(logs)))-ln(alpha) {
			named = i + 1
		}
	}
	return order[:named]
}

// usableWeight is the i-th weight, 0 if it is missing or not positive and finite.
func usableWeight(weights []float64, i int) float64 {
	if i < len(weights) && positive(weights[i]) {
		return weights[i]
	}
	return 0
}

// meanOfTwo is [MeanLogE] of two values.
func meanOfTwo(a, b float64) float64 {
	top, low := max(a, b), min(a, b)
	if math.IsInf(top, 0) {
		return top
	}
	return top + ln((1+exp(low-top))/2)
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
