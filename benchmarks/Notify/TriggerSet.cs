using System.Security.Cryptography;
using Marmot.NotifyServer;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Benchmarks.Notify;

/// <summary>Distinct triggers of one dialect and size, as they come from a relay, and their curve operations as records for the C loop.</summary>
internal sealed class TriggerSet
{
    public TriggerSet(SecretKey server, TokenDialect dialect, int tokens, int count)
    {
        Dialect = dialect;
        Tokens = tokens;
        Wraps = [.. Enumerable.Range(0, count).Select(_ => Create(server.PublicKey, dialect, tokens))];
        Records = CreateRecords(server, [.. Wraps.Select(wrap => wrap)], tokens);
    }

    public TokenDialect Dialect { get; }

    public int Tokens { get; }

    public byte[][] Wraps { get; }

    public byte[] Records { get; }

    private static byte[] Create(in Bytes32 server, TokenDialect dialect, int tokens)
    {
        var devices = Enumerable.Range(0, tokens).Select(_ => (DevicePlatform.Apns, RandomNumberGenerator.GetBytes(32))).ToArray();
        return TestTrigger.Create(server, dialect, devices, TimeProvider.System).Json.ToArray();
    }

    private static byte[] CreateRecords(SecretKey server, byte[][] wraps, int tokens)
    {
        using var records = new MemoryStream();
        var secret = new byte[32];
        server.CopyTo(secret);
        records.Write(secret);
        var buffer = new byte[Trigger.MaxContentSize];
        Span<byte> key = stackalloc byte[Nip44.ConversationKeySize];
        foreach (var json in wraps)
        {
            if (!NostrEventReader.TryRead(json, out var wrap, out _))
            {
                throw new InvalidOperationException("a trigger of the benchmark cannot be read");
            }

            // The seal, opened here by hand: the opener hands out the rumor only.
            Nip44.TryDeriveConversationKey(server, wrap.PublicKey, key);
            var plain = new byte[wrap.RawContent.Length];
            Nip44.TryDecrypt(key, wrap.RawContent, plain, out var sealJson);
            NostrEventReader.TryRead(sealJson, out var seal, out _);
            Nip44.TryDeriveConversationKey(server, seal.PublicKey, key);
            var inner = new byte[seal.RawContent.Length];
            Nip44.TryDecrypt(key, seal.RawContent, inner, out var rumorJson);
            if (!Rumor.TryParse(rumorJson, out var rumor, out _) || !Trigger.TryRead(rumor, buffer, out var trigger, out _) || trigger.Count != tokens)
            {
                throw new InvalidOperationException("a trigger of the benchmark cannot be opened");
            }

            CurveLoop.WriteCounts(records, verifications: 2, derivations: 2 + tokens);
            CurveLoop.WriteSigned(records, wrap);
            CurveLoop.WriteSigned(records, seal);
            records.Write(wrap.PublicKey.Span);
            records.Write(seal.PublicKey.Span);
            for (var i = 0; i < tokens; i++)
            {
                records.Write(trigger[i][..32]);
            }
        }

        return records.ToArray();
    }
}
