using System.Globalization;
using Marmot.Benchmarks.RelayLoad;
using Marmot.TestKit.Servers;

namespace Marmot.Benchmarks.Scale;

/// <summary>The relay on PostgreSQL with one and two replicas beside the embedded store, and what Redis and PostgreSQL do for replicas: all in one run on one
/// machine.</summary>
/// <remarks>Everything shares the machine's cores, the servers included, so two replicas on it are no faster than one: what is shown is what sharing
/// costs.</remarks>
internal static class ScaleBenchmark
{
    public static async Task<int> RunAsync(bool quick, string? only)
    {
        bool Wanted(string part) => only is null || only == part;
        Console.WriteLine($"{Environment.ProcessorCount} cores, PostgreSQL with fsync, everything on this machine");
        await using var postgres = await PostgresServer.StartAsync(durable: true);
        await using var redis = await RedisServer.StartAsync();
        var rounds = new ReplicaRounds(postgres, redis, quick);
        if (Wanted("ingest"))
        {
            await rounds.IngestAsync();
        }

        if (Wanted("fanout"))
        {
            await rounds.FanOutAsync();
        }

        if (Wanted("queries"))
        {
            await rounds.QueriesAsync();
        }

        if (Wanted("claims"))
        {
            await ClusterRounds.ClaimsAsync(postgres, redis, quick);
        }

        if (Wanted("bus"))
        {
            await ClusterRounds.BusAsync(postgres, redis, quick);
        }

        if (Wanted("start"))
        {
            ImageRound.Run();
        }

        return 0;
    }

    public static void Title(string text) => Console.WriteLine($"\n{text}");

    public static void Row(string what, double value, string unit, double? beside = null, string besideWhat = "", string more = "") =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {what,-44} {value,10:N0} {unit,-14}{(beside is { } b ? $"{value / b,6:N2} x {besideWhat}" : "")} {more}"));
}
