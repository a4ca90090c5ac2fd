using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Marmot.Benchmarks.RelayLoad;
using Marmot.TestKit;

namespace Marmot.Relay.Tests;

/// <summary>The real program in a small storm; <c>./bench relay --storm</c> makes the large one and measures it.</summary>
public sealed class StormTests
{
    private static readonly StormSize Small = new(Idle: 400, SlowReaders: 20, HalfOpen: 50, Seconds: 2);

    [Fact]
    public async Task Serves_the_honest_among_slow_readers_floods_churn_and_half_open_sockets()
    {
        using var folder = new TemporaryFolder();
        var relay = new IPEndPoint(IPAddress.Loopback, FreePort.Take(1)[0]);
        await using var process = ChildProcess.Start("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll"), $"--Public:Urls=http://{relay}", "--Admin:Urls=", "--Log:Level=Warning",
            $"--Storage:DataDirectory={folder.Path}", "--Relay:LimitLoopback=true", "--Relay:MaxOutboxBytes=1000000"]);
        await WaitUntilListeningAsync(relay, process);

        var result = await Task.Run(() =>
        {
            using var flood = new Flood(relay, Flood.Address);
            using var storm = new Storm(relay, Small, flood, folder.Path);
            return storm.Run();
        });

        Assert.Equal(Small.Idle, result.IdleOpen);
        Assert.Equal(0, result.Unanswered);
        Assert.Equal(0, result.IdleLost);
        Assert.True(result.HostileActs > 0);
        Assert.False(process.HasExited, process.Output);
        process.Terminate();
        Assert.Equal(0, await process.WaitForExitAsync(TimeSpan.FromSeconds(30)));
        Assert.DoesNotContain("Exception", process.Output, StringComparison.Ordinal);
    }

    public static TheoryData<string> Shapes => [.. Shape.Names];

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Serves_the_honest_beside_one_hostile_client_of_each_shape(string shape)
    {
        using var folder = new TemporaryFolder();
        var relay = new IPEndPoint(IPAddress.Loopback, FreePort.Take(1)[0]);
        await using var process = ChildProcess.Start("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll"), $"--Public:Urls=http://{relay}", "--Admin:Urls=", "--Log:Level=Warning",
            $"--Storage:DataDirectory={folder.Path}", "--Relay:LimitLoopback=true"]);
        await WaitUntilListeningAsync(relay, process);

        var result = await Task.Run(() =>
        {
            using var hostile = Shape.Create(shape, relay, Flood.Address);
            return ShapeStorm.Run(relay, folder.Path, shape, hostile, TimeSpan.FromSeconds(1), () => 0);
        });

        Assert.Equal(0, result.Quiet.Refused + result.Storm.Refused);
        Assert.True(result.HostileActs > 0);
        Assert.False(process.HasExited, process.Output);
        process.Terminate();
        Assert.Equal(0, await process.WaitForExitAsync(TimeSpan.FromSeconds(30)));
        Assert.DoesNotContain("Exception", process.Output, StringComparison.Ordinal);
    }

    private static async Task WaitUntilListeningAsync(IPEndPoint relay, ChildProcess process)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync(relay);
                return;
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(60) && !process.HasExited)
            {
                await Task.Delay(20); // not listening yet
            }
        }
    }
}
