namespace Marmot.NotifyServer.Tests.Soak;

/// <summary>The bounded form of <c>./bench notify soak</c>, which runs for ten minutes.</summary>
public class SoakTests
{
    // What the collector may take more at the end than after the first third.
    private const double MemorySlack = 96e6;

    [Fact]
    public async Task Under_flapping_relays_storms_and_rotations_every_push_comes_to_one_end_and_a_stop_delivers_what_is_queued()
    {
        var report = await SoakRun.RunAsync(TimeSpan.FromSeconds(20), TextWriter.Null);

        Assert.Equal(report.Admitted, report.Ended);
        Assert.Equal(0, report.Abandoned);
        Assert.InRange(report.Admitted, report.Sent * 0.9, report.Sent); // a trigger may fall between two drops, and hints are not recovered
        Assert.InRange(report.Accepted, report.Admitted * 0.98, report.Admitted); // a GOAWAY may leave a push unanswered twice
        Assert.True(report.MemoryAfter < report.MemoryBefore + MemorySlack, report.ToString());
        Assert.Equal(300, report.LastDelivered);
        Assert.Equal(0, report.ExitCode);
    }
}
