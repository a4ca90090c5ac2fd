using System.Globalization;
using Marmot.Benchmarks.Mls;

// ./bench mls [members...]   e.g. ./bench mls 10 100
int[] sizes = args.Length > 0 ? [.. args.Select(a => int.Parse(a, CultureInfo.InvariantCulture))] : [10, 100, 1000];
return MlsBenchmark.Run(sizes);
