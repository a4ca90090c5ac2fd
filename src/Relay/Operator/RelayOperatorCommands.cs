using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Hosting.Settings;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Operator;

/// <summary>What an operator's command can have the running relay do, on its own store and through its own writer.</summary>
internal sealed class RelayOperatorCommands(
    IEventStore store, EventWriterLoop writer, Moderation moderation, Decisions decisions, TimeProvider clock, IOptions<StorageOptions> storage,
    IOptions<RelayOptions> relay) : IOperatorCommands
{
    public string SocketPath { get; } = new StorePaths(Path.Combine(storage.Value.DataDirectory, RelayHosting.Folder)).OperatorSocket;

    public async Task<int> RunAsync(string[] args, CommandStreams streams, CancellationToken cancel)
    {
        var line = RelayCommandLine.TryRead(args, out var mistake);
        if (line is null || !line.RunsOnRunningRelay)
        {
            await streams.Say(line is null ? mistake : $"the relay is running: stop it for {line.Command}");
            return line is null ? 2 : 1;
        }

        try
        {
            return await StoreCommands.RunAsync(line, new RunningStore(store, writer), moderation, decisions, streams, relay.Value, clock, cancel);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"relay {line.Command}: {exception.Message}", exception);
        }
    }
}
