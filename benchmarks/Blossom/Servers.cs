using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Marmot.Benchmarks.Blossom;

/// <summary>A server under load: its port, and what it costs.</summary>
internal sealed class Server : IDisposable
{
    private readonly Process _process;
    private readonly bool _hasWorkers;

    private Server(Process process, int port, bool hasWorkers) => (_process, Port, _hasWorkers) = (process, port, hasWorkers);

    public int Port { get; }

    /// <summary>The blob store as a process of its own, with nothing limited but what the figures are about.</summary>
    public static async Task<Server> StartBlossomAsync(string folder, params string[] settings)
    {
        var port = FreePort();
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true };
        foreach (var argument in (string[])
        [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Blossom.dll"), $"--Public:Urls=http://127.0.0.1:{port}", "--Admin:Urls=",
            $"--Storage:DataDirectory={folder}", "--Blossom:MaxUploadBytes=4294967296", "--Log:Level=Fatal", .. settings,
        ])
        {
            start.ArgumentList.Add(argument);
        }

        return await ReadyAsync(new Server(Process.Start(start)!, port, hasWorkers: false));
    }

    /// <summary>nginx with PUT by its dav module and files by sendfile; no log, no hash, no token, no fsync.</summary>
    public static async Task<Server> StartNginxAsync(string folder)
    {
        var port = FreePort();
        Directory.CreateDirectory(Path.Combine(folder, "files"));
        var configuration = Path.Combine(folder, "nginx.conf");
        var user = Environment.IsPrivilegedProcess ? "user root;" : "";
        await File.WriteAllTextAsync(configuration, $$"""
            {{user}} daemon off; pid {{folder}}/nginx.pid; error_log stderr crit; worker_processes auto;
            events { worker_connections 4096; }
            http {
              access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000; client_max_body_size 0;
              client_body_temp_path {{folder}}/body; proxy_temp_path {{folder}}/p;
              fastcgi_temp_path {{folder}}/f; uwsgi_temp_path {{folder}}/u; scgi_temp_path {{folder}}/s;
              server { listen 127.0.0.1:{{port}}; root {{folder}}/files; location / { dav_methods PUT; create_full_put_path on; } }
            }
            """);
        var program = File.Exists("/usr/sbin/nginx") ? "/usr/sbin/nginx" : "nginx";
        return await ReadyAsync(new Server(Process.Start(new ProcessStartInfo(program, ["-c", configuration, "-e", "stderr"]))!, port, hasWorkers: true));
    }

    /// <summary>CPU time so far, user and system, of all its processes.</summary>
    public TimeSpan Cpu => TimeSpan.FromMilliseconds(Processes().Sum(id =>
    {
        var fields = File.ReadAllText($"/proc/{id}/stat");
        var rest = fields[(fields.LastIndexOf(')') + 2)..].Split(' ');
        return (long.Parse(rest[11], CultureInfo.InvariantCulture) + long.Parse(rest[12], CultureInfo.InvariantCulture)) * 10.0; // ticks of 10 ms
    }));

    /// <summary>Resident memory now, in MiB.</summary>
    public double MemoryMiB => Processes().Sum(id =>
        long.Parse(File.ReadLines($"/proc/{id}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal)).AsSpan(6).Trim(" \tkB"),
            CultureInfo.InvariantCulture) / 1024.0);

    public void Dispose()
    {
        if (_hasWorkers)
        {
            using var stop = Process.Start("kill", [$"{_process.Id}"]); // the master ends its workers
            _process.WaitForExit();
        }
        else
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    private IEnumerable<int> Processes() => !_hasWorkers
        ? [_process.Id]
        : File.ReadAllText($"/proc/{_process.Id}/task/{_process.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(id => int.Parse(id, CultureInfo.InvariantCulture)).Append(_process.Id);

    private static async Task<Server> ReadyAsync(Server server)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            try
            {
                using var connection = await HttpConnection.OpenAsync(server.Port);
                return server;
            }
            catch (SocketException) when (!server._process.HasExited)
            {
                await Task.Delay(20, deadline.Token);
            }
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
