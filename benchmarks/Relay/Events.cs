using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>Events signed before the clock runs.</summary>
internal static class Events
{
    /// <summary>Kind 445 of about 1 KB, each by its own key, dated now.</summary>
    public static byte[][] GroupEvents(int count, int groups, string? group = null)
    {
        var names = Enumerable.Range(0, groups).Select(_ => RandomNumberGenerator.GetHexString(64, lowercase: true)).ToArray();
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var events = new byte[count][];
        Parallel.For(0, count, i =>
        {
            using var key = SecretKey.Generate();
            events[i] = NostrEvent.Create(key, 445, [["h", group ?? names[i % groups]]], Content(400), now).Json.ToArray();
        });
        return events;
    }

    public static byte[] EventFrame(byte[] json) => WireConnection.Frame("[\"EVENT\","u8.ToArray(), json, "]"u8.ToArray());

    /// <summary>The same event with another signature.</summary>
    public static byte[] Forge(byte[] json)
    {
        var forged = (byte[])json.Clone();
        var at = forged.AsSpan().IndexOf("\"sig\":\""u8) + 40;
        forged[at] = forged[at] == (byte)'0' ? (byte)'1' : (byte)'0';
        return forged;
    }

    public static byte[] AuthFrame(SecretKey key, ReadOnlySpan<byte> challenge, string relay)
    {
        var answer = RelayAuth.Create(key, relay, Encoding.UTF8.GetString(challenge), DateTimeOffset.UtcNow);
        return WireConnection.Frame("[\"AUTH\","u8.ToArray(), answer.Json.ToArray(), "]"u8.ToArray());
    }

    public static string Content(int bytes) => Convert.ToBase64String(RandomNumberGenerator.GetBytes(bytes));
}

/// <summary>What is imported: group events, profiles and notes of some authors, and gift wraps of some recipients, over thirty days.</summary>
internal sealed class Corpus : IDisposable
{
    private const int AuthorCount = 200;
    private readonly SecretKey[] _authors = [.. Enumerable.Range(0, AuthorCount).Select(_ => SecretKey.Generate())];
    private readonly List<Bytes32> _ids = [];

    public Corpus(int count, string file)
    {
        Count = count;
        Groups = [.. Enumerable.Range(0, Math.Max(20, count / 200)).Select(_ => RandomNumberGenerator.GetHexString(64, lowercase: true))];
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var random = new Random(11);
        using var output = new FileStream(file, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
        for (var done = 0; done < count;)
        {
            var size = Math.Min(10_000, count - done);
            var times = Enumerable.Range(0, size).Select(_ => now - random.Next(30 * 86400)).ToArray();
            var batch = new NostrEvent[size];
            var first = done;
            Parallel.For(0, size, i => batch[i] = Create(first + i, times[i]));
            foreach (var evt in batch)
            {
                output.Write(evt.Json.Span);
                output.WriteByte((byte)'\n');
                if (evt.Kind != 1059 && _ids.Count < 100_000)
                {
                    _ids.Add(evt.Id);
                }
            }

            done += size;
        }
    }

    public int Count { get; }

    public string[] Groups { get; }

    public IReadOnlyList<Bytes32> Ids => _ids;

    public SecretKey Author(int i) => _authors[i % _authors.Length];

    public void Dispose() => Array.ForEach(_authors, key => key.Dispose());

    // 80 of 100 are group events of about 1 KB, 10 notes, 10 wraps of 6 KB.
    private NostrEvent Create(int i, long at)
    {
        var author = Author(i / 100);
        switch (i % 100)
        {
            case < 80:
                using (var oneTime = SecretKey.Generate())
                {
                    return NostrEvent.Create(oneTime, 445, [["h", Groups[i % Groups.Length]]], Events.Content(400), at);
                }

            case < 90:
                return NostrEvent.Create(author, i % 2 == 0 ? 1 : 7, [["t", $"t{i % 50}"]], Events.Content(200), at);
            default:
                using (var oneTime = SecretKey.Generate())
                {
                    return NostrEvent.Create(oneTime, 1059, [["p", author.PublicKey.ToString()]], Events.Content(4000), at);
                }
        }
    }
}
