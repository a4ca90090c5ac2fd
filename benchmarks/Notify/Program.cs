using System.Globalization;
using Marmot.Benchmarks.Notify;

// ./bench notify [pipeline|latency|memory|flood] [rounds or seconds]; ./bench notify soak [seconds]
var part = args.Length > 0 ? args[0] : "all";
int? number = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : null;
var holds = true;
if (part is "all" or "pipeline")
{
    using var pipeline = new PipelineBenchmark();
    holds &= pipeline.Run(number ?? 15);
}

return holds ? 0 : 1;
