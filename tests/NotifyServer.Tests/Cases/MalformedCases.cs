using System.Text;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests.Cases;

/// <summary>Cases 15 to 20 and 25: whatever is wrong with a wrap, a seal, a rumor or a token, nothing rings and the next good trigger does.</summary>
public sealed class MalformedCases : IAsyncLifetime
{
    private static readonly string[] PushV1 = ["v", "marmot-push-v1"];

    private TestRelay _relay = null!;
    private RunningServer _server = null!;

    public async Task InitializeAsync()
    {
        _relay = await TestRelay.StartAsync();
        _server = await RunningServer.StartAsync([_relay]);
        await _relay.SubscribedAsync();
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        await _relay.DisposeAsync();
    }

    [Fact]
    [Trait("Spec", "NIP-44")]
    public async Task Case_15_of_all_nip44_faults_only_the_valid_extended_prefix_opens()
    {
        using var author = SecretKey.Generate();
        using var oneTime = SecretKey.Generate();
        var server = _server.PublicKey;
        var good = _server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(15));
        Assert.True(Nip44Open(good, out var seal));
        var padded = Forge.Pad(seal);

        // 1. Another version, a shorter payload, a wrong MAC.
        await SendAsync(Forge.Payload(oneTime, server, padded, version: 1));
        await SendAsync(Forge.Payload(oneTime, server, padded, version: 3));
        await SendAsync(Convert.ToBase64String(new byte[99]));
        await SendAsync(Forge.Payload(oneTime, server, padded, breakMac: true));

        // 2. Padding too long, too short, a prefix beyond the text.
        await SendAsync(Forge.Payload(oneTime, server, [.. padded, .. new byte[32]]));
        await SendAsync(Forge.Payload(oneTime, server, padded.AsSpan()[..^32]));
        byte[] beyond = [.. padded];
        beyond[0] = beyond[1] = 0xff;
        await SendAsync(Forge.Payload(oneTime, server, beyond));

        // 3. The extended prefix with a length that the short one holds, and with zero.
        await SendAsync(Forge.Payload(oneTime, server, Forge.Pad(seal, extended: true)));
        await SendAsync(Forge.Payload(oneTime, server, new byte[38]));
        await _server.Probe.EventsAsync("not-openable", 9);
        Assert.Empty(_server.Apns.Requests);

        // 4. The extended prefix where it is due: 30 tokens make a seal above 65,535 bytes.
        var thirty = Enumerable.Range(1, 30).SelectMany(i => Forge.Token(TokenDialect.MarmotPushV1, Device.Apns((byte)i), server)).ToArray();
        var rumor = Forge.Rumor(author.PublicKey, Convert.ToBase64String(thirty), [PushV1]);
        await _relay.SendAsync(Forge.Sealed(server, author, rumor));
        await _server.Probe.EndedAsync("accepted", 30);

        Task SendAsync(string content) => _relay.SendAsync(Forge.Wrap(server, oneTime, content));
    }

    [Fact]
    public async Task Case_16_hostile_frames_cost_bounded_memory_and_the_server_goes_on()
    {
        await _relay.SendRawAsync("[\"EVENT\",\"x\"," + new string('[', 100_000));
        await _relay.SendRawAsync("""["EVENT","x",{"kind":1059,"kind":1059,"id":"a"}]""");
        await _relay.SendRawAsync("""["NOTICE","\u0000\ud800"]""");
        await _relay.SendRawAsync("""["EVENT","x",{"content":"\ud800","tags":[[""" + string.Join(',', Enumerable.Repeat("\"a\"", 20_000)) + "]]}]");
        await RingsAsync(16);

        // Text that is no UTF-8 and a frame above the bound each end the connection; the next one has a fresh subscription.
        await _relay.SendBytesAsync([.. "[\"NOTICE\",\""u8, 0xff, 0xfe, .. "\"]"u8]);
        await _relay.SubscribedAsync(2);
        await Record.ExceptionAsync(() => _relay.SendRawAsync("[\"NOTICE\",\"" + new string('a', 5_000_000) + "\"]")); // the server hangs up in the middle
        await _relay.SubscribedAsync(3);
        await RingsAsync(17, 2);
    }

    [Fact]
    [Trait("Spec", "NIP-59")]
    public async Task Case_17_a_seal_that_is_forged_or_of_another_kind_or_tagged_is_dropped()
    {
        using var author = SecretKey.Generate();
        using var other = SecretKey.Generate();
        var server = _server.PublicKey;
        var rumor = Forge.Rumor(author.PublicKey, Token(17), [PushV1]);
        Assert.True(Nip44Open(Forge.Sealed(server, author, rumor), out var seal));
        var text = Encoding.UTF8.GetString(seal);
        var broken = text.Replace("\"sig\":\"", "\"sig\":\"00", StringComparison.Ordinal);
        var start = broken.IndexOf("\"sig\":\"", StringComparison.Ordinal) + 7;
        broken = broken.Remove(start + 128, 2);

        await _relay.SendAsync(Forge.WrapAround(server, Encoding.UTF8.GetBytes(broken)));
        await _relay.SendAsync(Forge.Sealed(server, author, rumor, sealKind: 14));
        await _relay.SendAsync(Forge.Sealed(server, other, rumor)); // signed by another than the rumor names
        await _relay.SendAsync(Forge.Sealed(server, author, rumor, 13, ["p", server.ToString()]));
        await _relay.SendAsync(Forge.WrapAround(server, rumor)); // no seal at all
        await _server.Probe.EventsAsync("not-openable", 5);

        Assert.Empty(_server.Apns.Requests);
        await _relay.SendAsync(Forge.Sealed(server, author, rumor));
        await _server.Probe.EndedAsync("accepted", 1);
    }

    [Fact]
    public async Task Case_18_a_rumor_of_another_kind_or_signed_or_wrongly_tagged_is_dropped()
    {
        using var author = SecretKey.Generate();
        var server = _server.PublicKey;
        foreach (var kind in new[] { 444, 445, 447, 14 })
        {
            await _relay.SendAsync(Forge.Sealed(server, author, Forge.Rumor(author.PublicKey, Token(18), [PushV1], kind)));
        }

        await _relay.SendAsync(Forge.Request(server, Token(18), ["v", "marmot-push-v2"]));
        await _relay.SendAsync(Forge.Request(server, Token(18), PushV1, PushV1));
        await _relay.SendAsync(Forge.Request(server, Token(18), ["v", "marmot-push-v1", "more"]));
        await _relay.SendAsync(Forge.Request(server, Token(18), PushV1, ["encoding", "base64"]));
        await _relay.SendAsync(Forge.Request(server, Token(18), PushV1, ["client", "x"]));
        await _relay.SendAsync(Forge.Request(server, Token(18), ["v", "mip05-v1"], ["encoding", "hex"]));
        await _server.Probe.EventsAsync("not-a-trigger", 10);
        var signed = NostrEvent.Create(author, Trigger.Kind, [PushV1], Token(18), 1_780_000_000);
        await _relay.SendAsync(Forge.Sealed(server, author, signed.Json.Span));
        await _server.Probe.EventsAsync("not-openable", 1);

        Assert.Empty(_server.Apns.Requests);
        await RingsAsync(18);
    }

    [Fact]
    [Trait("Spec", "RFC-4648")]
    public async Task Case_19_content_that_is_not_strict_base64_is_ignored_whole()
    {
        var token = Token(19);
        var server = _server.PublicKey;

        // 1,084 bytes end in two digits and one sign of padding.
        string[] wrong =
        [
            "", " ", token + "\n", token[..^1], token.TrimEnd('='), token.Insert(4, "\r\n"), " " + token[1..], token[..^2] + (char)(token[^2] + 1) + "=",
            token[..8] + "-_" + token[10..], "!!!!" + token[4..],
        ];
        foreach (var content in wrong)
        {
            await _relay.SendAsync(Forge.Request(server, content, PushV1));
        }

        await _server.Probe.EventsAsync("not-a-trigger", wrong.Length);
        Assert.Empty(_server.Apns.Requests);
        await _relay.SendAsync(Forge.Request(server, token, PushV1));
        await _server.Probe.EndedAsync("accepted", 1);
    }

    [Fact]
    public async Task Case_20_content_of_a_wrong_length_is_refused_before_it_is_decoded()
    {
        var server = _server.PublicKey;
        var tokens = Enumerable.Range(0, 33).SelectMany(i => Forge.Token(TokenDialect.MarmotPushV1, Device.Apns((byte)i), server)).ToArray();
        var shorts = Enumerable.Range(0, 101).SelectMany(i => Forge.Token(TokenDialect.Mip05Short, Device.Apns((byte)i), server)).ToArray();
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(tokens), PushV1)); // 33
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(tokens.AsSpan(0, 1083)), PushV1));
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(tokens.AsSpan(0, 1085)), PushV1));
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(shorts.AsSpan(0, 280)), PushV1)); // another dialect's length
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(shorts))); // 101
        await _server.Probe.EventsAsync("not-a-trigger", 5);

        // Not base64 at all, of a wrong length: it is the length that is told, so nothing was decoded.
        Assert.False(TryReadRequest(new string('!', 1_000), out var reason));
        Assert.Contains("whole tokens", reason, StringComparison.Ordinal);
        Assert.Empty(_server.Apns.Requests);
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(tokens.AsSpan(0, 32 * 1084)), PushV1));
        await _server.Probe.EndedAsync("accepted", 32);
    }

    [Theory]
    [InlineData(TokenDialect.Mip05Short)]
    [InlineData(TokenDialect.Mip05Long)]
    [InlineData(TokenDialect.MarmotPushV1)]
    public async Task Case_25_a_platform_or_length_that_cannot_be_is_skipped(TokenDialect dialect)
    {
        var server = _server.PublicKey;
        var most = dialect.PlaintextSize - 3;
        List<byte[]> heads = [Head(0, 32), Head(3, 32), Head(255, 32), Head(1, 0), Head(2, 0), Head(1, most + 1), Head(2, most + 1), Head(2, 65_535)];
        byte[] tokens = [.. heads.SelectMany(head => Forge.RawToken(dialect, head, server)), .. Forge.Token(dialect, Device.Apns(25), server)];
        string[][] tags = dialect switch { TokenDialect.Mip05Short => [], TokenDialect.Mip05Long => [["v", "mip05-v1"]], _ => [PushV1] };
        await _relay.SendAsync(Forge.Request(server, Convert.ToBase64String(tokens), tags));
        await _server.Probe.EventsAsync("done", 1);
        await _server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(heads.Count, _server.Probe.Count("marmot_notify_tokens:skipped"));
        Assert.Equal(Device.ApnsName(25), Assert.Single(_server.Apns.Requests).Token);

        static byte[] Head(byte platform, int length) => [platform, (byte)(length >> 8), (byte)length];
    }

    private async Task RingsAsync(byte device, int accepted = 1)
    {
        await _relay.SendAsync(_server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(device)));
        await _server.Probe.EndedAsync("accepted", accepted);
        Assert.Equal(1, _server.Apns.DeliveriesFor(Device.ApnsName(device)));
    }

    private string Token(byte device) => Convert.ToBase64String(Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(device), _server.PublicKey));

    private bool Nip44Open(NostrEvent wrap, out byte[] seal)
    {
        var buffer = new byte[wrap.Content.Length];
        Span<byte> key = stackalloc byte[32];
        Assert.True(Protocol.Encryption.Nip44.TryDeriveConversationKey(_server.Service.Apps[0].Keys[0], wrap.PublicKey, key));
        var opened = Protocol.Encryption.Nip44.TryDecrypt(key, Encoding.ASCII.GetBytes(wrap.Content), buffer, out var plaintext);
        seal = plaintext.ToArray();
        return opened;
    }

    private static bool TryReadRequest(string content, out string reason)
    {
        using var author = SecretKey.Generate();
        var read = Trigger.TryRead(Rumor.Create(author.PublicKey, Trigger.Kind, [PushV1], content, 1), new byte[Trigger.MaxContentSize], out _, out var why);
        reason = why.ToString()!;
        return read;
    }
}
