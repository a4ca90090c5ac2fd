using System.Globalization;
using Marmot.Benchmarks.Blossom;

// ./bench blossom [--only put|put-1k|put-100k|put-10m|put-1g|get|...|range|slow] [rounds] [folder for the data]
var only = args is ["--only", var part, ..] ? part : "";
var rest = only.Length == 0 ? args : args[2..];
var rounds = rest.Length > 0 ? int.Parse(rest[0], CultureInfo.InvariantCulture) : 3;
return await BlossomBenchmark.RunAsync(only, rounds, rest.Length > 1 ? rest[1] : Path.GetTempPath());
