using System.Collections.Concurrent;
using Marmot.Blossom.Index;
using Marmot.Hosting;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Blobs;

/// <summary>Notes which blobs are read, once a day each, for <see cref="BlossomOptions.EndUnreadAfter"/>. Nothing is noted without that setting, and never
/// who reads.</summary>
internal sealed class BlobReads(IBlobIndex index, TimeProvider time, IOptions<BlossomOptions> options)
{
    private const int MaxRemembered = 200_000; // more, and some are noted twice on one day
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);
    private readonly ConcurrentDictionary<Bytes32, byte> _today = new();
    private readonly ConcurrentQueue<Bytes32> _waiting = new();
    private TimeSpan _dayBegan;

    public void Note(Bytes32 hash)
    {
        if (options.Value.EndUnreadAfter > TimeSpan.Zero && _today.TryAdd(hash, 0))
        {
            _waiting.Enqueue(hash);
        }
    }

    /// <summary>Writes what was noted; by the janitor.</summary>
    public async ValueTask WriteAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();
        while (_waiting.TryPeek(out var hash))
        {
            await index.TouchAsync(hash, now, cancellationToken);
            _waiting.TryDequeue(out _);
        }

        if (_today.Count > MaxRemembered || time.GetUptime() - _dayBegan >= Day)
        {
            _today.Clear();
            _dayBegan = time.GetUptime();
        }
    }
}
