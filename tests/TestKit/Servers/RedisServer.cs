using System.Net.Sockets;

namespace Marmot.TestKit.Servers;

/// <summary>A real Redis (Debian's package) on a free loopback port, nothing kept on disk; gone when disposed.</summary>
public sealed class RedisServer : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _settings;
    private ChildProcess? _process;

    private RedisServer(int port, string[] settings) => (Port, _settings) = (port, settings);

    public int Port { get; }

    /// <summary>As the setting Cluster:Redis wants it.</summary>
    public string Endpoint => $"127.0.0.1:{Port}";

    /// <param name="settings">More of redis-server's own arguments, e.g. <c>--requirepass</c>. With <c>--tls-port 0</c> among them the port speaks TLS
    /// only.</param>
    public static async Task<RedisServer> StartAsync(params string[] settings)
    {
        var server = new RedisServer(FreePort.Take(1)[0], settings);
        try
        {
            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>SIGKILL: every connection is cut and everything is forgotten.</summary>
    public async Task KillAsync()
    {
        if (_process is { } process)
        {
            _process = null;
            await process.DisposeAsync();
        }
    }

    /// <summary>Returns when it takes connections, on the same port as before.</summary>
    public async Task StartAgainAsync()
    {
        var isTls = _settings.Contains("--tls-cert-file");
        string[] ports = isTls ? ["--port", "0", "--tls-port", $"{Port}"] : ["--port", $"{Port}"];
        _process = ChildProcess.Start("redis-server",
            [.. ports, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", _folder.Path, .. _settings]);
        using var deadline = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync("127.0.0.1", Port, deadline.Token);
                return;
            }
            catch (SocketException) when (!_process.HasExited)
            {
                await timer.WaitForNextTickAsync(deadline.Token);
            }
            catch (SocketException)
            {
                throw new InvalidOperationException("redis-server ended:\n" + _process.Output);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _folder.Dispose();
    }
}
