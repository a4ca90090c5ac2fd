using System.Globalization;
using Marmot.Benchmarks.Client;

// ./bench client [messages] [members...]   e.g. ./bench client 10000 10 50 150 500
// ./bench client memory [messages]         e.g. ./bench client memory 100000// ./bench client adopted [messages]        e.g. ./bench client adopted 10000

if (args is ["memory", ..])
{
    return await MemoryBenchmark.RunAsync(args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 20_000);
}

if (args is ["adopted", ..])
{
    return AdoptedBenchmark.Run(args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 10_000);
}

int messages = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 2000;
int[] sizes = args.Length > 1 ? [.. args[1..].Select(arg => int.Parse(arg, CultureInfo.InvariantCulture))] : [10, 50, 150];
return await ClientBenchmark.RunAsync(messages, sizes);
