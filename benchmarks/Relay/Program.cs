using Marmot.Benchmarks.RelayLoad;

// ./bench relay [--quick] [--events N] [--import N] [--connections N] [--storm] [--start] [--only import|ingest|fanout|queries|idle|storm]
if (args is [FloodProcess.Argument, var relay])
{
    return FloodProcess.Run(System.Net.IPEndPoint.Parse(relay));
}

return Settings.TryRead(args, out var settings) ? RelayBenchmark.Run(settings) : 2;
