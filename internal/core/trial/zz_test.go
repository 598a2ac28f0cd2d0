package trial
import ("testing";"fmt";"time")
func TestZZ(t *testing.T){
 for _, inc := range []bool{false,true} { for seed := range uint64(10) {
 spec := rollout(func(s *Spec){ s.Interval=Duration(time.Second); s.Watch=Duration(3*time.Second)
  s.Steps=[]Step{{Share:5000,MinTime:Duration(5*time.Second),MinUnits:20},{Share:25000,MinTime:Duration(5*time.Second),MinUnits:50},{Share:50000,MinTime:Duration(5*time.Second),MinUnits:100}}
  s.Guardrails=[]Guardrail{{Metric:MetricErrors,Mode:ModeEnforce,Relative:0.5,Absolute:0.02},{Metric:MetricLatency,Mode:ModeEnforce,Relative:0.5,Absolute:0.1}}})
 w:=newWorld(seed); w.users=2000; w.requests=200
 w.bad=func(_ bool,i int)float64{ if inc&&i>14&&i<19 {return .3}; return .005}
 s:=Start(spec,1,day0)
 for i:=range 200 { s,_=Next(spec,s,IntervalClosed{w.interval(spec,s,s.UpdatedAt.Add(time.Second))})
  if s.Ended(){break}
  if i%4==9 { fmt.Printf("%d step%d err %.1f lat %.1f [",i,s.Step,s.Guardrails[0].LogNoWorse,s.Guardrails[1].LogNoWorse)
   for _,b:=range s.Guardrails[1].Bounds{ fmt.Printf("%.1f ",b.Guard.LogNoWorse())}; fmt.Println("]")}
 }
 fmt.Println("good",s.Result,s.Seq,s.Why)
 }}
}
