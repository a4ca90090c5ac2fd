using Marmot.Benchmarks.Scale;

// ./bench scale [--quick] [--only ingest|fanout|queries|claims|bus|start]
var quick = args.Contains("--quick");
var at = Array.IndexOf(args, "--only");
return await ScaleBenchmark.RunAsync(quick, at >= 0 && at + 1 < args.Length ? args[at + 1] : null);
