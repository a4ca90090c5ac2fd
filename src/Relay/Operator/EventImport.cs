using Marmot.Protocol.Events;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Reads JSON lines into a store; every event is verified, on all cores. The clock window of live group events does not apply.</summary>
internal static class EventImport
{
    private const int BatchSize = 1000;

    public readonly record struct Result(long Stored, long Duplicates, long Refused);

    public static async Task<Result> RunAsync(IEventStore store, Stream input, Action<long>? progress = null)
    {
        var result = default(Result);
        using var reader = new StreamReader(input);
        var lines = new List<string>(BatchSize);
        while (true)
        {
            lines.Clear();
            while (lines.Count < BatchSize && await reader.ReadLineAsync() is { } line)
            {
                if (line.Length > 0)
                {
                    lines.Add(line);
                }
            }

            if (lines.Count == 0)
            {
                return result;
            }

            var records = new EventRecord?[lines.Count];
            Parallel.For(0, lines.Count, i => records[i] = Read(lines[i]));
            var batch = records.Where(r => r is not null).Select(r => new EventWrite(r!)).ToList();
            await store.WriteAsync(batch, CancellationToken.None);
            var stored = batch.Count(w => w.Verdict == StoreVerdict.Stored);
            var known = batch.Count(w => w.Verdict is StoreVerdict.Duplicate or StoreVerdict.Superseded);
            result = new Result(result.Stored + stored, result.Duplicates + known, result.Refused + lines.Count - stored - known);
            progress?.Invoke(result.Stored + result.Duplicates + result.Refused);
        }
    }

    private static EventRecord? Read(string line)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(line);
        return NostrEventReader.TryRead(bytes, out var view, out _)
            && !EventKinds.IsEphemeral(view.Kind)
            && EventVerifier.TryVerify(view, out _)
                ? EventRecord.Create(view, vanishesHere: view.Kind == EventKinds.Vanish && RelayIdentity.NamesAllRelays(view))
                : null;
    }
}
