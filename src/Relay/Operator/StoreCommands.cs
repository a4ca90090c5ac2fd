using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>The operator's commands on a store, opened for them or of a running relay: <c>import</c>, <c>export</c>, <c>stats</c>, <c>list</c>,
/// <c>delete</c>, <c>sync</c>.</summary>
internal static class StoreCommands
{
    /// <param name="line">What to do.</param>
    /// <param name="store">Where.</param>
    /// <param name="moderation">What was banned there, and is not taken back.</param>
    /// <param name="decisions">Takes the audit line of a deletion.</param>
    /// <param name="streams">What comes in and goes out.</param>
    /// <param name="options">The relay's settings, whose rules hold for what is brought in.</param>
    /// <param name="clock">The time.</param>
    /// <param name="cancel">Gives it up.</param>
    /// <returns>The exit code.</returns>
    public static Task<int> RunAsync(
        RelayCommandLine line, IEventStore store, Moderation moderation, Decisions decisions, CommandStreams streams, RelayOptions options,
            TimeProvider clock, CancellationToken cancel) => line.Command switch
            {
                "import" => ImportAsync(new ModeratedStore(store, moderation), line, streams, options, clock, cancel),
                "export" => ExportAsync(store, line, streams, clock, cancel),
                "stats" => WriteStatisticsAsync(store, line, streams, cancel),
                "delete" => EventDeletion.RunAsync(store, line.Filter!, line.Yes, decisions, streams, cancel),
                "list" => EventListing.RunAsync(store, line.Filter ?? new Filter(), line.Json, streams, clock, cancel),
                _ => SyncAsync(new ModeratedStore(store, moderation), line, streams, options, clock, cancel),
            };

    private static async Task<int> ImportAsync(
        IEventStore store, RelayCommandLine line, CommandStreams streams, RelayOptions options, TimeProvider clock, CancellationToken cancel)
    {
        var refusals = new Refusals(line.Verbose ? streams.Say : null);
        var result = await EventImport.RunAsync(store, streams.Input, new ImportRules(options, line.Waivers, clock), refusals, streams.Progress, cancel);
        await streams.Say($"{result.Stored} stored, {result.Duplicates} known before, {result.Refused} refused");
        await SayReasonsAsync(refusals, streams);
        return result.Refused == 0 ? 0 : 1;
    }

    private static async Task SayReasonsAsync(Refusals refusals, CommandStreams streams)
    {
        foreach (var reason in refusals.Describe())
        {
            await streams.Say(reason);
        }
    }

    private static async Task<int> ExportAsync(IEventStore store, RelayCommandLine line, CommandStreams streams, TimeProvider clock, CancellationToken cancel)
    {
        var count = await EventExport.RunAsync(store, line.Filter ?? new Filter(), streams.Output, clock.GetUtcNow().ToUnixTimeSeconds(), cancel);
        await streams.Say($"{count} exported");
        return 0;
    }

    private static async Task<int> WriteStatisticsAsync(IEventStore store, RelayCommandLine line, CommandStreams streams, CancellationToken cancel)
    {
        var s = await store.ReadStatisticsAsync(cancel);
        var text = line.Json
            ? $"{{\"events\":{s.Events},\"newest_arrival\":{s.NewestArrival},\"log_bytes\":{s.LogBytes},"
                + $"\"awaiting_erasure\":{s.AwaitingErasure},\"damaged\":{s.Damaged}}}\n"
            : $"events            {s.Events}\nnewest arrival    {s.NewestArrival}\nlog bytes         {s.LogBytes}\n"
                + $"awaiting erasure  {s.AwaitingErasure}\ndamaged           {s.Damaged}\n";
        await streams.Output.WriteAsync(System.Text.Encoding.UTF8.GetBytes(text), cancel);
        return 0;
    }

    private static async Task<int> SyncAsync(
        IEventStore store, RelayCommandLine line, CommandStreams streams, RelayOptions options, TimeProvider clock, CancellationToken cancel)
    {
        SecretKey? key = null;
        if (line.AuthKeyFile is { } file && !SecretKey.TryParse((await File.ReadAllTextAsync(file, cancel)).Trim(), out key))
        {
            throw new IOException($"{file} holds no secret key");
        }

        using (key)
        {
            var refusals = new Refusals(line.Verbose ? streams.Say : null);
            var sync = new RelaySync(store, line.Url!, key, clock, streams.Progress, new ImportRules(options, line.Waivers, clock), refusals);
            var result = await sync.RunAsync(line.Filter ?? new Filter(), line.Direction, cancel);
            await streams.Say(result.Failure is { } failure
                ? $"relay sync: {failure}"
                : $"{result.Pulled} fetched, {result.Pushed} published, {result.Refused} refused");
            await SayReasonsAsync(refusals, streams);
            return result.Failure is null && result.Refused == 0 ? 0 : 1;
        }
    }
}
