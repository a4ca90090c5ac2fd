using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Marmot.TestKit.Servers;

/// <summary>A reverse proxy (Debian's package) as docs/operate.md sets it up, on a loopback port and without TLS, in front of a server of ours; gone when
/// disposed.</summary>
public sealed partial class ReverseProxy : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly TemporaryFolder _folder = new();
    private ChildProcess? _process;

    private ReverseProxy(int port) => Address = new Uri($"http://127.0.0.1:{port}");

    public Uri Address { get; }

    /// <summary>An address of this machine that is not of its loopback: a caller who comes from there is no proxy, whatever it says of itself.</summary>
    /// <exception cref="InvalidOperationException">The machine has none: no network interface is up.</exception>
    public static IPAddress OuterAddress => NetworkInterface.GetAllNetworkInterfaces()
        .Where(card => card.OperationalStatus == OperationalStatus.Up && card.NetworkInterfaceType != NetworkInterfaceType.Loopback)
        .SelectMany(card => card.GetIPProperties().UnicastAddresses)
        .FirstOrDefault(address => address.Address.AddressFamily == AddressFamily.InterNetwork)?.Address
        ?? throw new InvalidOperationException("this machine has no IPv4 address but loopback");

    /// <summary>Starts <c>nginx</c> or <c>caddy</c>.</summary>
    /// <param name="name">Which.</param>
    /// <param name="server">What it stands in front of.</param>
    public static Task<ReverseProxy> StartAsync(string name, Uri server) => name switch
    {
        "nginx" => StartNginxAsync(server),
        "caddy" => StartCaddyAsync(server),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no such proxy"),
    };

    public static Task<ReverseProxy> StartNginxAsync(Uri server) => StartAsync((port, folder) =>
    {
        var site = Documented("nginx")
            .Replace("listen 443 ssl;", $"listen 127.0.0.1:{port};", StringComparison.Ordinal)
            .Replace("http://127.0.0.1:8080", server.GetLeftPart(UriPartial.Authority), StringComparison.Ordinal);
        var file = Path.Combine(folder, "nginx.conf");
        File.WriteAllText(file, $$"""
            user {{Environment.UserName}};
            pid {{folder}}/nginx.pid;
            error_log stderr;
            events {}
            http {
              access_log off;
              client_body_temp_path {{folder}}/body;
              proxy_temp_path {{folder}}/proxy;
              fastcgi_temp_path {{folder}}/fastcgi;
              uwsgi_temp_path {{folder}}/uwsgi;
              scgi_temp_path {{folder}}/scgi;
              {{Certificates().Replace(site, "")}}
            }
            """);
        return ChildProcess.Start("/usr/sbin/nginx", ["-c", file, "-p", folder, "-g", "daemon off;"]);
    });

    public static Task<ReverseProxy> StartCaddyAsync(Uri server) => StartAsync((port, folder) =>
    {
        var file = Path.Combine(folder, "Caddyfile");
        File.WriteAllText(file, "{\n  admin off\n  auto_https off\n  default_bind 127.0.0.1\n}\n" + Documented("caddy")
            .Replace("relay.example.org", $"http://127.0.0.1:{port}", StringComparison.Ordinal)
            .Replace("127.0.0.1:8080", server.Authority, StringComparison.Ordinal));
        var home = new Dictionary<string, string> { ["HOME"] = folder, ["XDG_DATA_HOME"] = folder, ["XDG_CONFIG_HOME"] = folder };
        return ChildProcess.Start("caddy", ["run", "--config", file, "--adapter", "caddyfile"], environment: home);
    });

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }

        _folder.Dispose();
    }

    private static async Task<ReverseProxy> StartAsync(Func<int, string, ChildProcess> start)
    {
        var proxy = new ReverseProxy(FreePort.Take(1)[0]);
        proxy._process = start(proxy.Address.Port, proxy._folder.Path);
        using var deadline = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync("127.0.0.1", proxy.Address.Port, deadline.Token);
                return proxy;
            }
            catch (SocketException) when (!proxy._process.HasExited)
            {
                await timer.WaitForNextTickAsync(deadline.Token);
            }
            catch (SocketException)
            {
                var output = proxy._process.Output;
                await proxy.DisposeAsync();
                throw new InvalidOperationException("the proxy ended:\n" + output);
            }
        }
    }

    /// <summary>The first block of that language in docs/operate.md.</summary>
    private static string Documented(string language)
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            var page = Path.Combine(folder, "docs", "operate.md");
            if (File.Exists(page))
            {
                var text = File.ReadAllText(page);
                var start = text.IndexOf($"```{language}\n", StringComparison.Ordinal) + language.Length + 4;
                return text[start..text.IndexOf("\n```", start, StringComparison.Ordinal)];
            }
        }

        throw new FileNotFoundException("docs/operate.md");
    }

    [GeneratedRegex("^ *ssl_certificate.*$", RegexOptions.Multiline)]
    private static partial Regex Certificates();
}
