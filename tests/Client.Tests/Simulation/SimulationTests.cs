using System.Globalization;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Simulation;

public class SimulationTests(ITestOutputHelper output)
{
    /// <summary>Seeds of the usual run. More: MARMOT_SIM_SEEDS=1-200, MARMOT_SIM_STEPS=2000, MARMOT_SIM_CLIENTS=10.</summary>
    public static TheoryData<int> Seeds
    {
        get
        {
            string[] range = (Environment.GetEnvironmentVariable("MARMOT_SIM_SEEDS") ?? "1-6").Split('-');
            int first = int.Parse(range[0], CultureInfo.InvariantCulture);
            int last = int.Parse(range[^1], CultureInfo.InvariantCulture);
            return [.. Enumerable.Range(first, last - first + 1)];
        }
    }

    [Theory]
    [Trait("Spec", "MIP-03")]
    [MemberData(nameof(Seeds))]
    public async Task Through_loss_repetition_disorder_delay_partitions_wrong_clocks_and_crashes_all_members_end_in_one_epoch_with_the_same_messages(int seed)
    {
        var simulation = new Simulation(seed, Number("MARMOT_SIM_STEPS", 600), Number("MARMOT_SIM_CLIENTS", 4 + (seed % 7)));
        await simulation.RunAsync();
        output.WriteLine($"seed {seed}: epoch {simulation.Epoch}, {simulation.Messages} messages, {simulation.RollBacks} epochs taken back, {simulation.Crashes} restarts, {simulation.Orphans} lost invitations");
    }

    private static int Number(string name, int usual) => Environment.GetEnvironmentVariable(name) is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : usual;
}
