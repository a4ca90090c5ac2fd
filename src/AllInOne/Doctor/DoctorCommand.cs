using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Marmot.AllInOne.Doctor;

/// <summary><c>marmot-server doctor</c>: proves a deployment from the outside, step by step with times.</summary>
internal static class DoctorCommand
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    internal static async Task<int> RunAsync(string[] args)
    {
        if (args is ["--help" or "-h"])
        {
            Console.WriteLine(DoctorOptions.Usage);
            return CommandLine.Done;
        }

        if (DoctorOptions.Read(args, out string problem) is not { } options)
        {
            await Console.Error.WriteLineAsync($"{problem}\n\n{DoctorOptions.Usage}");
            return CommandLine.WrongUsage;
        }

        using var cancel = new CancellationTokenSource();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            cancel.Cancel();
        };
        var steps = new List<DoctorStep>();
        await using var check = new DeploymentCheck(options, TimeProvider.System);
        await foreach (var step in check.RunAsync(cancel.Token))
        {
            steps.Add(step);
            if (!options.Json)
            {
                string mark = step.Outcome switch { DoctorOutcome.Passed => "ok  ", DoctorOutcome.Failed => "FAIL", _ => "-   " };
                string time = step.Outcome == DoctorOutcome.Skipped
                    ? ""
                    : string.Create(CultureInfo.InvariantCulture, $"{step.Elapsed.TotalMilliseconds:F0} ms");
                Console.WriteLine($"  {mark} {time,9}  {step.Name}{(step.Detail.Length > 0 ? ": " + step.Detail : "")}");
            }
        }

        bool passed = steps.TrueForAll(step => step.Outcome != DoctorOutcome.Failed);
        double total = steps.Sum(step => step.Elapsed.TotalMilliseconds);
        if (options.Json)
        {
            var report = new JsonObject
            {
                ["ok"] = passed,
                ["relay"] = options.Relay.AbsoluteUri,
                ["milliseconds"] = Math.Round(total, 1),
                ["steps"] = new JsonArray(
                    [.. steps.Select(step => new JsonObject
                    {
                        ["name"] = step.Name,
                        ["outcome"] = step.Outcome switch { DoctorOutcome.Passed => "passed", DoctorOutcome.Failed => "failed", _ => "skipped" },
                        ["milliseconds"] = Math.Round(step.Elapsed.TotalMilliseconds, 1),
                        ["detail"] = step.Detail,
                    })]),
            };
            Console.WriteLine(report.ToJsonString(Indented));
        }
        else
        {
            Console.WriteLine();
            Console.WriteLine(passed
                ? string.Create(CultureInfo.InvariantCulture, $"  the deployment works ({total / 1000:F1} s)")
                : "  the deployment does not work; the first step that failed says why");
        }

        return passed ? CommandLine.Done : CommandLine.Failed;
    }
}
