using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests;

/// <summary>The real program and its signals: a stop ends with exit code 0 within its deadline, whatever clients do.</summary>
public sealed class StopTests
{
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(20); // of a busy machine

    [Theory]
    [InlineData("SIGTERM")]
    [InlineData("SIGINT")]
    [InlineData("SIGTERM twice")]
    public async Task A_stop_ends_in_time_with_transfers_that_never_end(string signals)
    {
        using var folder = new TemporaryFolder();
        var relay = new IPEndPoint(IPAddress.Loopback, FreePort.Take(1)[0]);
        await using var process = Start(folder, relay);
        var address = new Uri($"http://{relay}/");
        await ConnectAsync(address, process);
        using var noHead = await RawClient.ConnectAsync(address);
        await noHead.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n");
        using var halfFrame = await RawClient.ConnectAsync(address);
        Assert.StartsWith("HTTP/1.1 101", await halfFrame.UpgradeAsync("localhost"), StringComparison.Ordinal);
        await halfFrame.SendAsync(RawClient.Frame(new string(' ', 1000)).AsMemory(0, 100));

        // A body of 100 KB that comes at 500 bytes a second, which the HTTP server takes for alive.
        using var body = await RawClient.ConnectAsync(address);
        await body.SendAsync("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/nostr+json+rpc\r\nContent-Length: 60000\r\n\r\n");
        using var enough = new CancellationTokenSource();
        var dripping = DripAsync(body, enough.Token);
        await Task.Delay(500);

        var started = Stopwatch.GetTimestamp();
        if (signals == "SIGINT")
        {
            process.Interrupt();
        }
        else
        {
            process.Terminate();
        }

        if (signals == "SIGTERM twice")
        {
            await Task.Delay(200);
            process.Terminate();
        }

        Assert.Equal(0, await process.WaitForExitAsync(StopTimeout + Slack));
        Assert.DoesNotContain("Unhandled", process.Output, StringComparison.Ordinal);
        Assert.True(signals != "SIGTERM twice" || Stopwatch.GetElapsedTime(started) < StopTimeout + Slack / 2);
        await enough.CancelAsync();
        await dripping;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_signal_during_the_start_ends_it_with_exit_code_0(int signals)
    {
        using var folder = new TemporaryFolder();
        using var silent = new TcpListener(IPAddress.Loopback, 0); // a database that takes connections and says nothing: the start waits for it
        silent.Start();
        await using var process = Start(folder, new IPEndPoint(IPAddress.Loopback, FreePort.Take(1)[0]),
            $"--Storage:Postgres=Host=127.0.0.1;Port={((IPEndPoint)silent.LocalEndpoint).Port};Username=a;Database=a;Timeout=60");
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var connection = await silent.AcceptTcpClientAsync(patience.Token);
        for (var i = 0; i < signals; i++)
        {
            process.Terminate();
        }

        Assert.Equal(0, await process.WaitForExitAsync(StopTimeout + Slack));
        Assert.DoesNotContain("Unhandled", process.Output, StringComparison.Ordinal);
    }

    private static ChildProcess Start(TemporaryFolder folder, IPEndPoint relay, params string[] settings) =>
        ChildProcess.Start("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll"), $"--Public:Urls=http://{relay}", "--Admin:Urls=", "--Log:Level=Warning",
            $"--Public:StopTimeout={StopTimeout}", "--Relay:Admins:0=" + new string('a', 64), $"--Storage:DataDirectory={folder.Path}", .. settings]);

    private static async Task ConnectAsync(Uri relay, ChildProcess process)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                using var probe = await RawClient.ConnectAsync(relay);
                return;
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(60) && !process.HasExited)
            {
                await Task.Delay(20); // not listening yet
            }
        }
    }

    private static async Task DripAsync(RawClient client, CancellationToken cancel)
    {
        try
        {
            while (!cancel.IsCancellationRequested)
            {
                await client.SendAsync(Encoding.ASCII.GetBytes(new string(' ', 50)));
                await Task.Delay(100, cancel);
            }
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // Cut off, as it should be.
        }
    }
}
