using System.Buffers;
using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Marmot.ProviderSimulators;
using Marmot.ProviderSimulators.Http2;

namespace Marmot.ProviderSimulators.Tests.Http2;

/// <summary>Frames that a well-behaved client never sends, written by hand.</summary>
[Trait("Spec", "RFC 9113")]
#pragma warning disable CA1001 // xunit disposes through IAsyncLifetime
public sealed class Http2ConnectionTests : IAsyncLifetime
{
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));
    private ApnsSimulator _apns = null!;
    private TcpClient _tcp = null!;
    private SslStream _stream = null!;
    private string _token = "";

    public async Task InitializeAsync()
    {
        _apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { RaisedMaxStreams = 2 }, _deadline.Token);
        _token = SimulatorClient.ProviderToken(_apns.PrivateKeyPem!, _apns.KeyId, _apns.TeamId, DateTimeOffset.UtcNow);
        _tcp = new TcpClient();
        await _tcp.ConnectAsync("127.0.0.1", _apns.Port, _deadline.Token);
        // The authority has its own test; here any certificate will do.
        _stream = new SslStream(_tcp.GetStream(), false, (_, certificate, _, _) => certificate is not null);
        await _stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ApplicationProtocols = [SslApplicationProtocol.Http2],
        }, _deadline.Token);
    }

    public async Task DisposeAsync()
    {
        await _stream.DisposeAsync();
        _tcp.Dispose();
        await _apns.DisposeAsync();
        _deadline.Dispose();
    }

    private ValueTask WriteAsync(params byte[][] frames) => _stream.WriteAsync(frames.SelectMany(frame => frame).ToArray(), _deadline.Token);

    private ValueTask StartAsync(params byte[][] frames) =>
        WriteAsync([Http2Frame.ClientPreface.ToArray(), Frame(Http2FrameType.Settings, 0, 0, []), .. frames]);

    private static byte[] Frame(Http2FrameType type, Http2Flags flags, int streamId, byte[] payload) => Http2Frame.Write(type, flags, streamId, payload);

    private byte[] Headers(string device = "aa", params (string Name, string Value)[] more)
    {
        var block = new ArrayBufferWriter<byte>();
        foreach (var (name, value) in ((string, string)[])[
            (":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/3/device/" + device),
            ("authorization", "bearer " + _token), ("apns-topic", "app.marmot"), ("apns-push-type", "background"), ("apns-priority", "5"), .. more])
        {
            HpackEncoder.Write(block, name, value);
        }
        return block.WrittenSpan.ToArray();
    }

    private static readonly byte[] Payload = """{"aps":{"content-available":1}}"""u8.ToArray();

    private byte[][] Push(int streamId, string device = "aa") =>
        [
            Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, streamId, Headers(device)),
            Frame(Http2FrameType.Data, Http2Flags.EndStreamOrAck, streamId, Payload)
        ];

    private async Task<Http2Frame> ReadAsync(Http2FrameType type, int streamId = -1)
    {
        while (true)
        {
            var header = new byte[Http2Frame.HeaderBytes];
            await _stream.ReadExactlyAsync(header, _deadline.Token);
            var payload = new byte[BinaryPrimitives.ReadInt32BigEndian(header) >>> 8];
            await _stream.ReadExactlyAsync(payload, _deadline.Token);
            var frame = new Http2Frame((Http2FrameType)header[3], (Http2Flags)header[4], BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(5)), payload);
            if (frame.Type == type && (streamId < 0 || frame.StreamId == streamId)) return frame;
        }
    }

    private async Task<string> ReadStatusAsync(int streamId)
    {
        var frame = await ReadAsync(Http2FrameType.Headers, streamId);
        Assert.True(new HpackDecoder().TryDecode(frame.Payload.Span, out var headers));
        return headers[0].Value;
    }

    private static int Number(Http2Frame frame, int offset = 0) => BinaryPrimitives.ReadInt32BigEndian(frame.Payload.Span[offset..]);

    [Fact]
    public async Task Refuses_a_second_stream_before_the_first_token_and_allows_it_after()
    {
        await StartAsync(Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 1, Headers()),
            Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 3, Headers()));
        var limit = await ReadAsync(Http2FrameType.Settings);
        Assert.Equal((3, 1), (BinaryPrimitives.ReadUInt16BigEndian(limit.Payload.Span), Number(limit, 2)));
        Assert.Equal((int)Http2Error.RefusedStream, Number(await ReadAsync(Http2FrameType.RstStream, 3)));
        await WriteAsync(Frame(Http2FrameType.Data, Http2Flags.EndStreamOrAck, 1, Payload));
        Assert.Equal(2, Number(await ReadAsync(Http2FrameType.Settings), 2));
        Assert.Equal("200", await ReadStatusAsync(1));

        var block = Headers();
        await WriteAsync([.. ((int[])[5, 7, 9]).Select(stream => Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, stream, block))]);
        Assert.Equal((int)Http2Error.RefusedStream, Number(await ReadAsync(Http2FrameType.RstStream, 9)));
        Assert.Equal((2, 2, 1), (_apns.RefusedStreams, _apns.MostOpenStreams, _apns.Requests.Count));
    }

    [Fact]
    public async Task Takes_padding_priority_and_continuations()
    {
        var block = Headers();
        byte[] start = [3, 0, 0, 0, 0, 16, .. block[..10], 0, 0, 0];
        await StartAsync(
            Frame(Http2FrameType.Priority, Http2Flags.None, 1, [0, 0, 0, 0, 16]),
            Frame(Http2FrameType.Headers, Http2Flags.Padded | Http2Flags.Priority, 1, start),
            Frame(Http2FrameType.Continuation, Http2Flags.None, 1, block[10..50]),
            Frame(Http2FrameType.Continuation, Http2Flags.EndHeaders, 1, block[50..]),
            Frame(Http2FrameType.Data, Http2Flags.Padded, 1, [2, .. Payload[..5], 0, 0]),
            Frame((Http2FrameType)99, Http2Flags.None, 1, [1, 2, 3]),
            Frame(Http2FrameType.Data, Http2Flags.EndStreamOrAck, 1, Payload[5..]));

        Assert.Equal("200", await ReadStatusAsync(1));
        Assert.Equal(2, _apns.PriorityFrames);
        Assert.Equal(Payload, _apns.Requests.Single().Body.ToArray());
    }

    [Fact]
    public async Task Tells_repeated_headers_from_single_ones()
    {
        await StartAsync(
            Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 1, Headers("aa", ("apns-topic", "app.marmot"))),
            Frame(Http2FrameType.Data, Http2Flags.EndStreamOrAck, 1, Payload));
        var body = await ReadAsync(Http2FrameType.Data, 1);
        Assert.Equal("""{"reason":"DuplicateHeaders"}""", Encoding.UTF8.GetString(body.Payload.Span));
    }

    [Fact]
    public async Task Gives_the_last_stream_and_the_reason_in_GOAWAY_and_ignores_later_streams()
    {
        await StartAsync(Push(1));
        Assert.Equal("200", await ReadStatusAsync(1));
        await _apns.GoAwayAsync("IdleTimeout", close: false);
        var goAway = await ReadAsync(Http2FrameType.GoAway);
        Assert.Equal((1, 0, """{"reason":"IdleTimeout"}"""), (Number(goAway), Number(goAway, 4), Encoding.UTF8.GetString(goAway.Payload.Span[8..])));

        var block = Headers();
        await WriteAsync(Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 3, block), Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 5, block),
            Frame(Http2FrameType.Ping, Http2Flags.None, 0, [1, 2, 3, 4, 5, 6, 7, 8]));
        var pong = await ReadAsync(Http2FrameType.Ping);
        Assert.Equal(new byte[] { 1, 2, 3, 4, 5, 6, 7, 8 }, pong.Payload.ToArray());
        // Neither opened: the PONG comes after both were read.
        Assert.Equal((1, 0), (_apns.MostOpenStreams, _apns.RefusedStreams));
    }

    [Fact]
    public async Task Waits_for_the_windows_the_client_opens()
    {
        _apns.Script("aa", new SimulatedVerdict { Status = 500, Body = "0123456789" });
        // SETTINGS_INITIAL_WINDOW_SIZE 0
        await StartAsync([Frame(Http2FrameType.Settings, 0, 0, [0, 4, 0, 0, 0, 0]), .. Push(1)]);
        Assert.Equal("500", await ReadStatusAsync(1));
        await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.WindowUpdate, 1, 4));
        Assert.Equal("0123"u8.ToArray(), (await ReadAsync(Http2FrameType.Data, 1)).Payload.ToArray());
        await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.WindowUpdate, 1, 100));
        var rest = await ReadAsync(Http2FrameType.Data, 1);
        Assert.Equal("456789"u8.ToArray(), rest.Payload.ToArray());
        Assert.True(rest.Has(Http2Flags.EndStreamOrAck));
    }

    [Fact]
    public async Task Records_a_request_the_client_gave_up_on()
    {
        _apns.Script("aa", new SimulatedVerdict { Delay = TimeSpan.FromMinutes(1) });
        await StartAsync(Push(1));
        // The raised limit shows that the request is under way.
        await ReadAsync(Http2FrameType.Settings);
        await ReadAsync(Http2FrameType.Settings);
        await ReadAsync(Http2FrameType.Settings);
        await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.RstStream, 1, (int)Http2Error.Cancel));

        var seen = Assert.Single(await _apns.WaitForRequestsAsync(1, _deadline.Token));
        Assert.Equal((0, "client gave up", false), (seen.Status, seen.Reason, seen.Accepted));
    }

    public static TheoryData<int, byte[]> Violations => new()
    {
        { (int)Http2Error.ProtocolError, Frame(Http2FrameType.PushPromise, Http2Flags.EndHeaders, 1, [0, 0, 0, 2]) },
        { (int)Http2Error.ProtocolError, Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 2, []) },
        { (int)Http2Error.ProtocolError, Frame(Http2FrameType.Headers, Http2Flags.EndHeaders | Http2Flags.Padded, 1, [9, 0]) },
        { (int)Http2Error.ProtocolError, Frame(Http2FrameType.Continuation, Http2Flags.EndHeaders, 1, []) },
        { (int)Http2Error.ProtocolError,
            [.. Frame(Http2FrameType.Headers, Http2Flags.None, 1, [0x83]), .. Frame(Http2FrameType.Ping, Http2Flags.None, 0, new byte[8])] },
        { (int)Http2Error.ProtocolError, Frame(Http2FrameType.Data, Http2Flags.None, 0, [1]) },
        { (int)Http2Error.CompressionError, Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 1, [0x80]) },
        { (int)Http2Error.FrameSizeError, Frame(Http2FrameType.Ping, Http2Flags.None, 0, [1]) },
        { (int)Http2Error.FrameSizeError, Frame(Http2FrameType.Settings, Http2Flags.None, 0, [1]) },
        { (int)Http2Error.FrameSizeError, Frame(Http2FrameType.Data, Http2Flags.None, 1, new byte[16_385]) },
        { (int)Http2Error.FlowControlError, Frame(Http2FrameType.WindowUpdate, Http2Flags.None, 0, [0x7f, 0xff, 0xff, 0xff]) },
        { (int)Http2Error.FlowControlError, Frame(Http2FrameType.Settings, Http2Flags.None, 0, [0, 4, 0x80, 0, 0, 0]) },
    };

    [Theory]
    [MemberData(nameof(Violations), DisableDiscoveryEnumeration = true)]
    public async Task Ends_the_connection_for_a_violation(int error, byte[] frames)
    {
        await StartAsync(frames);
        Assert.Equal(error, Number(await ReadAsync(Http2FrameType.GoAway), 4));
        Assert.Empty(_apns.Requests);
    }
}
