using System.Globalization;
using Marmot.Benchmarks.Micro;

// ./bench micro [events] [rounds]
var events = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 2000;
var rounds = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 9;
var status = EventPipelineBenchmark.Run(events, rounds);
LibraryComparison.Run(rounds);
return status;
