using System.Globalization;
using Marmot.Benchmarks.Notify;
using Marmot.NotifyServer.Tests.Soak;

// ./bench notify [pipeline|latency|flood|memory] [rounds or seconds]; ./bench notify soak [seconds, default ten minutes]
var part = args.Length > 0 ? args[0] : "all";
int? number = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : null;
var holds = true;
if (part is "all" or "pipeline")
{
    using var pipeline = new PipelineBenchmark();
    holds &= pipeline.Run(number ?? 15, args.Length > 2 ? args[2] : "");
}

if (part is "all" or "latency")
{
    holds &= await LoadBenchmark.LatencyAsync(TimeSpan.FromSeconds(number ?? 10));
}

if (part is "all" or "flood")
{
    holds &= await LoadBenchmark.FloodAsync(TimeSpan.FromSeconds(number ?? 10));
}

if (part is "all" or "memory")
{
    holds &= LoadBenchmark.Memory();
}

if (part is "soak")
{
    var report = await SoakRun.RunAsync(TimeSpan.FromSeconds(number ?? 600), Console.Out);
    Console.WriteLine(report);
    holds &= report.Admitted == report.Ended && report.Abandoned == 0 && report.LastDelivered == 300 && report.ExitCode == 0;
    Console.WriteLine(
        $"admitted {report.Admitted} = ended {report.Ended}, memory {report.MemoryBefore / 1e6:0} MB then {report.MemoryAfter / 1e6:0} MB, stop "
            + $"delivered {report.LastDelivered} of 300");
}

Console.WriteLine(holds ? "holds" : "DOES NOT HOLD");
return holds ? 0 : 1;
