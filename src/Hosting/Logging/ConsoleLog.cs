using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Serilog;
using Serilog.Formatting.Json;

namespace Marmot.Hosting.Logging;

/// <summary>Serilog on the console. The framework's own request logs are held back below Warning: they would carry addresses and paths.</summary>
internal static class ConsoleLog
{
    private const string TextTemplate = "{Timestamp:HH:mm:ss} {Level:u3} {SourceContext} {Message:lj}{NewLine}{Exception}";

    /// <returns>The last warnings, for the console.</returns>
    internal static RecentLog AddConsoleLog(this WebApplicationBuilder builder)
    {
        var options = Read(builder.Configuration.GetSection(LogOptions.Section));
        var configuration = new LoggerConfiguration()
            .MinimumLevel.Is(options.Level)
            .MinimumLevel.Override("Microsoft", Serilog.Events.LogEventLevel.Warning)
            .MinimumLevel.Override("System", Serilog.Events.LogEventLevel.Warning)
            // The program says in one line why a start failed; the framework would print the exception with its stack before it.
            .Filter.ByExcluding(entry => entry.MessageTemplate.Text.StartsWith("Hosting failed to start", StringComparison.Ordinal));
        configuration = options.Format == LogFormat.Json
            ? configuration.WriteTo.Console(new JsonFormatter(renderMessage: true))
            : configuration.WriteTo.Console(outputTemplate: TextTemplate, formatProvider: System.Globalization.CultureInfo.InvariantCulture);
        var recent = new RecentLog();
        configuration = configuration.WriteTo.Sink(recent);
        builder.Logging.AddSerilog(configuration.CreateLogger(), dispose: true);
        return recent;
    }

    // A wrong value leaves the default here; it is reported with all other mistakes.
    private static LogOptions Read(IConfigurationSection section)
    {
        var options = new LogOptions();
        if (Enum.TryParse<LogFormat>(section[nameof(LogOptions.Format)], ignoreCase: true, out var format))
        {
            options.Format = format;
        }

        if (Enum.TryParse<Serilog.Events.LogEventLevel>(section[nameof(LogOptions.Level)], ignoreCase: true, out var level))
        {
            options.Level = level;
        }

        return options;
    }
}
