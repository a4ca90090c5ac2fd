using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests;

/// <summary>The published vectors through the whole server into the simulators, and the fixed ones of the push notes.</summary>
[Trait("Spec", "MIP-05")]
public sealed class VectorTests : IAsyncLifetime
{
    private SimulatedProviders _providers = null!;

    public async Task InitializeAsync() => _providers = await SimulatedProviders.StartSharedAsync();

    public async Task DisposeAsync() => await _providers.DisposeAsync();

    [Fact]
    [Trait("Clock", "Date")]
    public async Task Every_published_request_rings_its_devices_once_and_the_bad_ones_ring_nobody()
    {
        using var file = Read("push-requests-446.json");
        var requests = file.RootElement.GetProperty("requests").EnumerateArray().ToArray();
        Assert.Equal(21, requests.Length);
        await using var relay = await TestRelay.StartAsync();
        var subscriptions = 0;
        foreach (var request in requests)
        {
            // A server each, so that one request's replay hash and device windows say nothing about the next.
            await using var server = await StartAsync(relay, file.RootElement);
            await relay.SubscribedAsync(++subscriptions);
            var before = Deliveries();
            Assert.True(NostrEvent.TryParse(Encoding.UTF8.GetBytes(request.GetProperty("wrap").GetRawText()), out var wrap, out _));

            await relay.SendAsync(wrap!);
            await server.Probe.UntilAsync("marmot_notify_events", 1); // the gate's word
            if (server.Probe.Events("queued") == 1)
            {
                await server.Probe.UntilAsync("marmot_notify_events", 2); // the pipeline's
            }

            var name = request.GetProperty("name").GetString();
            var devices = request.TryGetProperty("devices", out var list) ? list.EnumerateArray().Select(Name).ToArray() : [];
            await server.Probe.EndedAsync("accepted", devices.Length);
            Assert.Equal((name, devices.Order()), (name, Deliveries().Skip(before.Length).Order()), RequestComparer);
        }

        static string Name(JsonElement device) => device.GetProperty("token").GetString()!;
    }

    [Theory]
    [InlineData("mip05-280", 15)]
    [InlineData("mip05-1084", 14)]
    [InlineData("marmot-push-v1", 14)]
    public async Task Every_published_token_rings_its_device_once_and_the_bad_ones_are_skipped(string variant, int count)
    {
        using var file = Read("push-tokens.json");
        var cases = file.RootElement.GetProperty("variants").GetProperty(variant).GetProperty("cases").EnumerateArray().ToArray();
        Assert.Equal(count, cases.Length);
        await using var relay = await TestRelay.StartAsync();
        await using var server = await StartAsync(relay, cases[0]);
        await relay.SubscribedAsync();
        string[][] tags = variant == "marmot-push-v1" ? [["v", "marmot-push-v1"]] : [["v", "mip05-v1"], ["encoding", "base64"]];
        var expected = new List<string>();
        foreach (var token in cases)
        {
            await relay.SendAsync(Forge.Request(server.PublicKey, token.GetProperty("encrypted_token_base64").GetString()!, tags));
            if (IsGood(token))
            {
                var bytes = Convert.FromHexString(token.GetProperty("device_token").GetString()!);
                expected.Add(token.GetProperty("platform_byte").GetInt32() == 1 ? Convert.ToHexStringLower(bytes) : Encoding.ASCII.GetString(bytes));
            }
        }

        await server.Probe.EventsAsync("done", count);
        await server.Probe.EndedAsync("accepted", expected.Count);
        Assert.Equal(expected.Order(), Deliveries().Order());
        Assert.Equal(count - expected.Count, server.Probe.Count("marmot_notify_tokens:skipped"));

        // 217 bytes of FCM token fit 280 bytes and are taken, since only a real token can have that length; so is an APNs token of another length than 32
        // bytes.
        static bool IsGood(JsonElement token) => token.GetProperty("expect").GetString() is { } expect
            && (expect.StartsWith("ok", StringComparison.Ordinal) || expect.StartsWith("fits", StringComparison.Ordinal)
                || expect.Contains("an APNs token is exactly 32 bytes", StringComparison.Ordinal));
    }

    [Fact]
    public void The_fixed_key_derivations_hold()
    {
        var sharedX = new byte[32];
        for (var i = 0; i < sharedX.Length; i++)
        {
            sharedX[i] = (byte)i;
        }

        Assert.Equal("954b9d7be996c0e74517fe49e41e1278f44395d2855a52f50b5e322976dd168d", Derive("marmot-push-token-v1", "marmot-push-token-encryption"));
        Assert.Equal("c23fb578f7eead3ddde72ed7b4105a65270218071e3e007cba75b048fb92b90d", Derive("mip05-v1", "mip05-token-encryption"));

        string Derive(string salt, string info)
        {
            var key = new byte[32];
            HkdfSha256.DeriveKey(sharedX, Encoding.ASCII.GetBytes(salt), Encoding.ASCII.GetBytes(info), key);
            return Convert.ToHexStringLower(key);
        }
    }

    [Theory]
    [InlineData(TokenDialect.Mip05Short, 1, "29cded97a3e72f77ad623f560391bd22898dcb51f712d1950cfec1faa3183285")]
    [InlineData(TokenDialect.Mip05Long, 1, "1c3e9ec904e181e1c6734247a4f9c24c8a1c66849e95d2f83253c0227b142728")]
    [InlineData(TokenDialect.MarmotPushV1, 1, "aebad31515c48851d6a0dbc00e4a98c1aced075a811d262bd4898650fe7b0061")]
    [InlineData(TokenDialect.MarmotPushV1, 2, "19631bbb306a3bc83ffcb4699cf9bf4c21c6609ddeceafc0f233cb4ce190f48a")]
    public async Task The_fixed_tokens_hold_and_ring(TokenDialect dialect, int platform, string digest)
    {
        // 1. The token as two other implementations made it.
        Assert.True(SecretKey.TryCreate(SHA256.HashData("push-anchor server key"u8), out var server));
        Assert.True(SecretKey.TryCreate(SHA256.HashData("push-anchor eph"u8), out var ephemeral));
        Assert.Equal("78d8945dc725a83a4521c50f22ca3df822c25f54c97e7312db0a697ea9c7aa17", server.PublicKey.ToString());
        Assert.Equal("011c2162b7cc41aab4f7755a77eb4b91800b6452ec3361946b0fb7ae06f3e4d4", ephemeral.PublicKey.ToString());
        var shared = new byte[32];
        Assert.True(ephemeral.TryDeriveSharedX(server.PublicKey, shared));
        Assert.Equal("9d67470090462661ef9613f8f1bd2b1942062131f59742aec9492ae8a7eb9721", Convert.ToHexStringLower(shared));
        var device = platform == 1 ? Enumerable.Repeat((byte)0x11, 32).ToArray() : Encoding.ASCII.GetBytes("fcm:token_-.");
        var plaintext = new byte[dialect.PlaintextSize];
        Array.Fill(plaintext, platform == 1 ? (byte)0xA5 : (byte)0);
        plaintext[0] = (byte)platform;
        plaintext[1] = 0;
        plaintext[2] = (byte)device.Length;
        device.CopyTo(plaintext, 3);
        var (salt, info) = dialect == TokenDialect.MarmotPushV1
            ? ("marmot-push-token-v1", "marmot-push-token-encryption")
            : ("mip05-v1", "mip05-token-encryption");
        var key = new byte[32];
        HkdfSha256.DeriveKey(shared, Encoding.ASCII.GetBytes(salt), Encoding.ASCII.GetBytes(info), key);
        var token = new byte[dialect.TokenSize];
        ephemeral.PublicKey.Span.CopyTo(token);
        for (var i = 0; i < 12; i++)
        {
            token[32 + i] = (byte)i;
        }

        Sodium.ChaCha20Poly1305Encrypt(key, token.AsSpan(32, 12), [], plaintext, token.AsSpan(44));
        Assert.Equal(digest, Convert.ToHexStringLower(SHA256.HashData(token)));

        // 2. The server rings its device.
        var secret = SHA256.HashData("push-anchor server key"u8);
        await using var relay = await TestRelay.StartAsync();
        await using var running = await RunningServer.StartAsync([relay], nsec: Convert.ToHexStringLower(secret), providers: _providers);
        await relay.SubscribedAsync();
        string[][] tags = dialect switch
        {
            TokenDialect.Mip05Short => [],
            TokenDialect.Mip05Long => [["v", "mip05-v1"]],
            _ => [["v", "marmot-push-v1"]],
        };
        await relay.SendAsync(Forge.Request(running.PublicKey, Convert.ToBase64String(token), tags));
        await running.Probe.EndedAsync("accepted", 1);
        Assert.Equal([platform == 1 ? Convert.ToHexStringLower(device) : "fcm:token_-."], Deliveries());
        server.Dispose();
        ephemeral.Dispose();
    }

    private static readonly IEqualityComparer<(string?, IOrderedEnumerable<string>)> RequestComparer =
        EqualityComparer<(string? Name, IOrderedEnumerable<string> Tokens)>.Create((a, b) => a.Name == b.Name && a.Tokens.SequenceEqual(b.Tokens));

    private Task<RunningServer> StartAsync(TestRelay relay, JsonElement keys) => RunningServer.StartAsync(
        [relay], options => options.CoalescingWindow = TimeSpan.Zero, nsec: keys.GetProperty("server_secret_key").GetString(), providers: _providers);

    private string[] Deliveries() =>
        [
            .. _providers.Apns.Requests.Concat(_providers.Fcm.Requests).Where(request => request.Accepted).OrderBy(request => request.Time)
                .Select(request => request.Token)
        ];

    private static JsonDocument Read(string name) => JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name)));
}
