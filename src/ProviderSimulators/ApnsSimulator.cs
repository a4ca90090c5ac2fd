using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Encodings.Web;
using System.Text.Json;
using Marmot.ProviderSimulators.Http2;

namespace Marmot.ProviderSimulators;

/// <summary>
/// Apple's push service on a loopback port: TLS, HTTP/2, provider tokens, the status table, stream limits, GOAWAY, and scripted
/// faults, with every request on record. For tests, operators and client authors without an Apple account. Thread-safe.
/// </summary>
public sealed class ApnsSimulator : IAsyncDisposable
{
    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);
    /// <summary>Apple's reasons hold no character that needs more than the relaxed escaping.</summary>
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly ApnsSimulatorOptions _options;
    private readonly Socket _listener;
    private readonly SimulatorAuthority _authority;
    private readonly SslServerAuthenticationOptions _tls;
    private readonly ApnsProviderTokens _tokens;
    private readonly ApnsRequestChecks _checks;
    private readonly ECDsa? _ownKey;
    private readonly VerdictBook _verdicts = new();
    private readonly RequestLog _log;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<long, Http2Connection> _connections = new();
    private readonly ConcurrentDictionary<long, Task> _running = new();
    private readonly Task _accepting;
    private long _connectionCount;
    private int _streamsRefused;
    private int _priorityFrames;
    private int _pings;
    private int _mostStreams;

    private ApnsSimulator(ApnsSimulatorOptions options)
    {
        _options = options;
        _authority = options.Authority ?? SimulatorAuthority.Create(options.HostNames);
        var keys = options.Keys;
        if (keys.Count == 0)
        {
            _ownKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            PrivateKeyPem = _ownKey.ExportPkcs8PrivateKeyPem() + "\n";
            keys = [new ApnsSigningKey { KeyId = options.KeyId, TeamId = options.TeamId, PublicKey = _ownKey }];
        }
        _tokens = new ApnsProviderTokens(options, keys);
        _checks = new ApnsRequestChecks(options);
        _log = new RequestLog(options.OnRequest);
        _tls = new SslServerAuthenticationOptions
        {
            ServerCertificate = _authority.ServerCertificate,
            ApplicationProtocols = [SslApplicationProtocol.Http2],
        };
        _listener = new Socket(options.Address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(options.Address, options.Port));
        _listener.Listen();
        Port = ((IPEndPoint)_listener.LocalEndPoint!).Port;
        _accepting = AcceptAsync();
    }

    /// <summary>Where to push: <c>https://localhost:PORT</c>.</summary>
    public Uri Endpoint => new(string.Create(CultureInfo.InvariantCulture, $"https://localhost:{Port}"));
    public int Port { get; }
    public X509Certificate2 CaCertificate => _authority.CaCertificate;
    public string CaCertificatePem => _authority.CaCertificatePem;
    public string TeamId => _options.TeamId;
    public string KeyId => _options.KeyId;
    /// <summary>The <c>.p8</c> of the key made when none was given, else null.</summary>
    public string? PrivateKeyPem { get; }

    /// <summary>All requests so far, in the order of their answers.</summary>
    public IReadOnlyList<SimulatedRequest> Requests => _log.Snapshot;
    /// <summary>Waits until so many requests are on record, and returns all.</summary>
    public Task<IReadOnlyList<SimulatedRequest>> WaitForRequestsAsync(int count, CancellationToken cancellationToken) =>
        _log.WaitAsync(count, cancellationToken);
    /// <summary>Requests for the token, whatever became of them.</summary>
    public int RequestsFor(string token) => _log.CountOf(token, acceptedOnly: false);
    /// <summary>Messages the device would have got.</summary>
    public int DeliveriesFor(string token) => _log.CountOf(token, acceptedOnly: true);
    public void ClearRequests() => _log.Clear();

    /// <summary>Scripts the answers for one device token; no verdicts: back to normal.</summary>
    public void Script(string token, params IEnumerable<SimulatedVerdict> verdicts) => _verdicts.Set(token, verdicts);
    /// <summary>Scripts the answers for every token without a script of its own.</summary>
    public void ScriptAll(params IEnumerable<SimulatedVerdict> verdicts) => _verdicts.Set(VerdictBook.AnyToken, verdicts);
    /// <summary>From the given time (default: now) tokens signed with the key are 403 InvalidProviderToken.</summary>
    public void RevokeKey(string keyId, DateTimeOffset? at = null) => _tokens.Revoke(keyId, at ?? DateTimeOffset.MinValue);

    /// <summary>While set, requests are read and never answered, on every connection.</summary>
    public bool BlackHole { get; set; }
    /// <summary>Whether PINGs are acknowledged. Off together with <see cref="BlackHole"/> is a peer that has silently gone.</summary>
    public bool AnswerPings
    {
        get;
        set
        {
            field = value;
            foreach (var connection in _connections.Values) connection.AnswerPings = value;
        }
    } = true;

    /// <summary>Connections that completed TLS.</summary>
    public long ConnectionCount => Volatile.Read(ref _connectionCount);
    public int OpenConnections => _connections.Count;
    /// <summary>Distinct provider tokens accepted.</summary>
    public int ProviderTokenCount => _tokens.AcceptedCount;
    /// <summary>Streams turned away above the limit.</summary>
    public int RefusedStreams => _streamsRefused + _connections.Values.Sum(connection => connection.RefusedStreams);
    /// <summary>PRIORITY seen; Apple asks for none.</summary>
    public int PriorityFrames => _priorityFrames + _connections.Values.Sum(connection => connection.PriorityFrames);
    public int PingsReceived => _pings + _connections.Values.Sum(connection => connection.PingsReceived);
    /// <summary>The most streams open at once on one connection.</summary>
    public int MostOpenStreams => Math.Max(_mostStreams, _connections.Values.Select(connection => connection.MostOpenStreams).DefaultIfEmpty().Max());

    public static Task<ApnsSimulator> StartAsync(ApnsSimulatorOptions options, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(new ApnsSimulator(options));
    }

    /// <summary>GOAWAY on every connection with <c>{"reason":…}</c> as debug data; requests under way are finished, then the connections close.</summary>
    public async Task GoAwayAsync(string reason = "Shutdown", bool close = true)
    {
        foreach (var connection in _connections.Values) await connection.GoAwayAsync(Http2Error.NoError, Reason(reason), closeWhenDrained: close);
    }

    /// <summary>Changes the stream limit of the open connections and of those to come after their first accepted token.</summary>
    public async Task SetStreamLimitAsync(int limit)
    {
        _options.RaisedMaxStreams = limit;
        foreach (var connection in _connections.Values) await connection.SetStreamLimitAsync(limit);
    }

    /// <summary>Ends every connection with a TCP RST.</summary>
    public void DropConnections()
    {
        foreach (var connection in _connections.Values) connection.Drop();
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_running.Values);
        _stopping.Dispose();
        _ownKey?.Dispose();
        if (_options.Authority is null) _authority.Dispose();
    }

    private async Task AcceptAsync()
    {
        for (var number = 1L; !_stopping.IsCancellationRequested; number++)
        {
            Socket socket;
            try
            {
                socket = await _listener.AcceptAsync(_stopping.Token);
            }
            catch (Exception failure) when (failure is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                if (_stopping.IsCancellationRequested) return;
                continue;
            }
            var key = number;
            var run = RunConnectionAsync(socket);
            _running[key] = run;
            _ = run.ContinueWith(_ => _running.TryRemove(key, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }

    private async Task RunConnectionAsync(Socket socket)
    {
        await Task.Yield();
        socket.NoDelay = true;
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            deadline.CancelAfter(HandshakeTimeout);
            await stream.AuthenticateAsServerAsync(_tls, deadline.Token);
        }
        catch (Exception failure) when (failure is IOException or AuthenticationException or OperationCanceledException or ObjectDisposedException)
        {
            await stream.DisposeAsync();
            return;
        }
        // No HTTP/1.1 at Apple: without h2 in ALPN the connection just ends.
        if (stream.NegotiatedApplicationProtocol != SslApplicationProtocol.Http2)
        {
            await stream.DisposeAsync();
            return;
        }
        using var connection = new Http2Connection(Interlocked.Increment(ref _connectionCount), socket, stream, _options.InitialMaxStreams, AnswerAsync)
        {
            AnswerPings = AnswerPings,
            State = new ConnectionState(),
        };
        _connections[connection.Id] = connection;
        try
        {
            await connection.RunAsync(_stopping.Token);
        }
        finally
        {
            _connections.TryRemove(connection.Id, out _);
            Interlocked.Add(ref _streamsRefused, connection.RefusedStreams);
            Interlocked.Add(ref _priorityFrames, connection.PriorityFrames);
            Interlocked.Add(ref _pings, connection.PingsReceived);
            lock (_connections) _mostStreams = Math.Max(_mostStreams, connection.MostOpenStreams);
        }
    }

    // One request, in numbered steps.
    private async Task AnswerAsync(Http2Connection connection, Http2Exchange exchange)
    {
        var state = (ConnectionState)connection.State!;
        var record = NewRecord(connection, exchange);
        // 1. The n-th request of a connection announces its end.
        if (Interlocked.Increment(ref state.RequestCount) == _options.GoAwayAfterRequests) await connection.GoAwayAsync(Http2Error.NoError, Reason("Shutdown"));
        // 2. Everything a provider checks
        var warnings = new List<string>();
        var refusal = Check(exchange, state, warnings, out var tokenAccepted, out var timestamp);
        if (tokenAccepted && !state.LimitRaised)
        {
            state.LimitRaised = true;
            await connection.SetStreamLimitAsync(_options.RaisedMaxStreams);
        }
        record = record with { Warnings = warnings };
        // 3. The script has a say only where Apple would have said yes.
        var verdict = refusal is { } refused
            ? SimulatedVerdict.Of(refused.Status, refused.Reason)
            : BlackHole
            ? new SimulatedVerdict { Fault = SimulatedFault.BlackHole }
            : _verdicts.Take(record.Token);
        // 4. Time
        if (!await WaitAsync(verdict.Delay, exchange.Aborted))
        {
            _log.Add(record with { Status = 0, Reason = "client gave up", Accepted = false });
            return;
        }
        // 5. Fault or answer
        if (verdict.Fault != SimulatedFault.None) await FailAsync(connection, exchange, record, verdict.Fault);
        else await ReplyAsync(connection, exchange, record, verdict, timestamp);
    }

    private ApnsRefusal? Check(Http2Exchange exchange, ConnectionState state, List<string> warnings, out bool tokenAccepted, out DateTimeOffset? timestamp)
    {
        tokenAccepted = false;
        timestamp = null;
        if (ApnsRequestChecks.CheckRoute(exchange) is { } misrouted) return misrouted;
        ApnsSigningKey? key;
        lock (state)
        {
            if (_tokens.Check(exchange.Header("authorization"), ref state.Key, out key) is { } unauthorised) return unauthorised;
        }
        tokenAccepted = true;
        return _checks.Check(exchange, key!, warnings, out timestamp);
    }

    private async Task<bool> WaitAsync(TimeSpan extra, CancellationToken aborted)
    {
        var delay = _options.Latency + extra + Random.Shared.NextDouble() * _options.Jitter;
        if (delay <= TimeSpan.Zero) return true;
        try
        {
            await Task.Delay(delay, _options.Clock, aborted);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private async Task FailAsync(Http2Connection connection, Http2Exchange exchange, SimulatedRequest record, SimulatedFault fault)
    {
        _log.Add(record with { Status = 0, Reason = fault.ToString(), Accepted = fault == SimulatedFault.LostAnswer });
        switch (fault)
        {
            case SimulatedFault.RefusedStream:
                await connection.ResetAsync(exchange, Http2Error.RefusedStream);
                break;
            case SimulatedFault.ResetStream:
                await connection.ResetAsync(exchange, Http2Error.InternalError);
                break;
            case SimulatedFault.DropConnection:
                connection.Drop();
                break;
            case SimulatedFault.GoAway:
                // A last stream below one already taken up would be a lie about that one: then only this stream is refused.
                if (connection.IsHighest(exchange))
                {
                    await connection.GoAwayAsync(Http2Error.NoError, Reason("Shutdown"), exchange.StreamId - 2 < 0 ? 0 : exchange.StreamId - 2);
                }
                else
                {
                    await connection.ResetAsync(exchange, Http2Error.RefusedStream);
                }
                break;
        }
    }

    private async Task ReplyAsync(Http2Connection connection, Http2Exchange exchange, SimulatedRequest record, SimulatedVerdict verdict,
        DateTimeOffset? timestamp)
    {
        if (!connection.TryClaim(exchange))
        {
            _log.Add(record with { Status = 0, Reason = "client gave up", Accepted = false });
            return;
        }
        var success = verdict.Status == 200;
        _log.Add(record with { Status = verdict.Status, Reason = verdict.Reason, Accepted = success });
        if (!success && _options.LowerStreamsOnRejection) await connection.SetStreamLimitAsync(_options.InitialMaxStreams);
        var headers = new List<KeyValuePair<string, string>> { new("apns-id", exchange.Header("apns-id") ?? Guid.NewGuid().ToString("D").ToUpperInvariant()) };
        if (success && _options.Environment == ApnsEnvironment.Sandbox) headers.Add(new("apns-unique-id", Guid.NewGuid().ToString("D")));
        if (verdict.RetryAfter is not null) headers.Add(new("retry-after", verdict.RetryAfter));
        byte[] body = [];
        if (verdict.Body is not null) body = System.Text.Encoding.UTF8.GetBytes(verdict.Body);
        else if (!success) body = Reason(verdict.Reason ?? "InternalServerError", verdict.Status == 410 ? timestamp ?? _options.Clock.GetUtcNow() : null);
        if (body.Length > 0) headers.Add(new("content-type", verdict.ContentType));
        await connection.RespondAsync(exchange, verdict.Status, headers, body);
    }

    private SimulatedRequest NewRecord(Http2Connection connection, Http2Exchange exchange) => new()
    {
        Number = 0,
        Time = _options.Clock.GetUtcNow(),
        ConnectionId = connection.Id.ToString(CultureInfo.InvariantCulture),
        StreamId = exchange.StreamId,
        Method = exchange.Header(":method") ?? "",
        Path = exchange.Header(":path") ?? "",
        Token = ApnsRequestChecks.TokenOf(exchange),
        Topic = exchange.Header("apns-topic"),
        Headers = [.. exchange.Headers.Where(header => !header.Key.StartsWith(':'))],
        Body = exchange.Body,
        Status = 0,
        Accepted = false,
    };

    private static byte[] Reason(string reason, DateTimeOffset? timestamp = null) => timestamp is null
        ? JsonSerializer.SerializeToUtf8Bytes(new { reason }, Json)
        : JsonSerializer.SerializeToUtf8Bytes(new { reason, timestamp = timestamp.Value.ToUnixTimeMilliseconds() }, Json);

    private sealed class ConnectionState
    {
        public string? Key;
        public int RequestCount;
        public volatile bool LimitRaised;
    }
}
