using Marmot.Hosting;
using Microsoft.Extensions.Options;

namespace Marmot.NotifyServer.Doctor;

/// <summary><c>notify doctor</c>: the server's own settings, credentials and relays looked at from where it runs. Exit codes: 0 nothing failed, 1 something
/// did, 2 wrong settings.</summary>
internal static class DoctorCommand
{
    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter error)
    {
        NotifyOptions options;
        try
        {
            var builder = MarmotHost.CreateBuilder(args);
            builder.AddNotify();
            await using var app = builder.Build();
            options = app.Services.GetRequiredService<IOptions<NotifyOptions>>().Value;
        }
        catch (OptionsValidationException exception)
        {
            foreach (var mistake in exception.Failures)
            {
                await error.WriteLineAsync("settings: " + mistake);
            }

            return 2;
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException or InvalidOperationException)
        {
            await error.WriteLineAsync("settings: " + exception.Message);
            return 2;
        }

        var failed = 0;
        await foreach (var finding in new NotifyDoctor(options, TimeProvider.System).ExamineAsync(CancellationToken.None))
        {
            failed += finding.Verdict is DoctorVerdict.Failed ? 1 : 0;
            var mark = finding.Verdict switch { DoctorVerdict.Passed => "ok  ", DoctorVerdict.Warning => "warn", _ => "FAIL" };
            await output.WriteLineAsync($"{mark}  {finding.Check,-44} {finding.Took.TotalMilliseconds,7:F0} ms  {finding.Detail}");
        }

        return failed == 0 ? 0 : 1;
    }
}
