using Marmot.Benchmarks.RelayLoad;

// ./bench relay [--quick] [--events N] [--import N] [--connections N] [--only import|ingest|fanout|queries|idle]
return Settings.TryRead(args, out var settings) ? RelayBenchmark.Run(settings) : 2;
