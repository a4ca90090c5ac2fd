using Marmot.Benchmarks.RelayLoad;

// ./bench relay [--quick] [--events N] [--import N] [--connections N] [--storm] [--start [--events N]]
// [--only import|ingest|fanout|queries|idle|storm] [--shape NAME]
if (args is [FloodProcess.Argument, var relay, .. var shape])
{
    return FloodProcess.Run(System.Net.IPEndPoint.Parse(relay), shape.FirstOrDefault());
}

return Settings.TryRead(args, out var settings) ? RelayBenchmark.Run(settings) : 2;
