using System.Net;
using System.Text;

namespace Marmot.TestKit.Servers;

/// <summary>An S3 service with one empty bucket on a loopback port: this project's own stand-in (s3-standin.mjs, Node), which checks signatures and fails on
/// demand.</summary>
public sealed class S3Server : IAsyncDisposable
{
    public const string Bucket = "blobs";
    private const string Key = "test-access-key";
    private const string Secret = "test-secret-key";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly TemporaryFolder _folder = new();
    private ChildProcess? _process;

    private S3Server(int port) => Port = port;

    public int Port { get; }

    /// <summary>What it wrote so far.</summary>
    public string Output => _process?.Output ?? "";

    public string Endpoint => $"http://127.0.0.1:{Port}";

    public string AccessKeyFile => _folder.File("access");

    public string SecretKeyFile => _folder.File("secret");

    public static async Task<S3Server> StartAsync()
    {
        var server = new S3Server(FreePort.Take(1)[0]);
        server._folder.WriteSecret("access", Key + "\n");
        server._folder.WriteSecret("secret", Secret + "\n");
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

    /// <summary>Kills it: connections are reset, new ones refused.</summary>
    public async Task CrashAsync() => await (_process?.DisposeAsync() ?? default);

    /// <summary>Brings it up on the same port with what it had.</summary>
    public async Task StartAgainAsync()
    {
        _process = ChildProcess.Start(
            "node",
            [Path.Combine(AppContext.BaseDirectory, "Servers", "s3-standin.mjs"), _folder.File("data"), "--address", $"127.0.0.1:{Port}"],
            environment: new Dictionary<string, string> { ["S3_ACCESS_KEY"] = Key, ["S3_SECRET_KEY"] = Secret, ["S3_BUCKETS"] = Bucket });
        using var http = new HttpClient();
        using var deadline = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (await timer.WaitForNextTickAsync(deadline.Token))
        {
            try
            {
                using var answer = await http.GetAsync(new Uri($"{Endpoint}/minio/health/live"), deadline.Token);
                if (answer.StatusCode == HttpStatusCode.OK)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                if (_process.HasExited)
                {
                    throw new InvalidOperationException($"the S3 stand-in ended:\n{_process.Output}");
                }
            }
        }
    }

    /// <summary>Faults to come, as the head of the stand-in describes them; an empty list ends them.</summary>
    public async Task FailAsync(string faults)
    {
        using var http = new HttpClient();
        using var body = new StringContent(faults, Encoding.UTF8, "application/json");
        using var answer = await http.PutAsync(new Uri($"{Endpoint}/_standin/faults"), body);
        answer.EnsureSuccessStatusCode();
    }

    public async ValueTask DisposeAsync()
    {
        await CrashAsync();
        _folder.Dispose();
    }
}
