using System.Globalization;
using Marmot.Benchmarks.Blossom;

// ./bench blossom [rounds] [folder for the data]
var rounds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 3;
return await BlossomBenchmark.RunAsync(rounds, args.Length > 1 ? args[1] : Path.GetTempPath());
