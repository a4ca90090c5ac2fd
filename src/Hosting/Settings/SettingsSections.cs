using System.Collections;
using System.Reflection;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Hosting.Settings;

/// <summary>An options section this process knows; the list of them is what settings are checked against.</summary>
public sealed record SettingsSection(string Name, Type Type);

/// <summary>Binding and checking of the suite's settings.</summary>
public static class SettingsSections
{
    /// <summary>Binds <typeparamref name="T"/> to its section, checks its annotations at start and remembers it for <see cref="FindUnknownKeys"/>.</summary>
    public static IServiceCollection AddSettings<T>(this IServiceCollection services, string section) where T : class
    {
        services.AddSingleton(new SettingsSection(section, typeof(T)));
        services.AddOptions<T>().BindConfiguration(section).ValidateDataAnnotations().ValidateOnStart();
        return services;
    }

    /// <summary>Every key inside the known sections that no option answers to, each with the nearest right name.</summary>
    /// <returns>One sentence a mistake; empty when all is well.</returns>
    public static IReadOnlyList<string> FindUnknownKeys(IConfiguration configuration, IEnumerable<SettingsSection> sections)
    {
        var mistakes = new List<string>();
        foreach (var group in sections.GroupBy(section => section.Name, StringComparer.OrdinalIgnoreCase))
        {
            Walk(configuration.GetSection(group.Key), [.. group.Select(section => section.Type).Distinct()], mistakes);
        }

        return mistakes;
    }

    private static void Walk(IConfigurationSection section, IReadOnlyList<Type> types, List<string> mistakes)
    {
        foreach (var child in section.GetChildren())
        {
            var matches = types
                .SelectMany(type => type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
                .Where(property => property.Name.Equals(child.Key, StringComparison.OrdinalIgnoreCase))
                .ToList();
            if (matches.Count == 0)
            {
                string nearest = Nearest(child.Key, types.SelectMany(type => type.GetProperties()).Select(property => property.Name));
                mistakes.Add($"{child.Path}: no such setting. Did you mean {section.Path}:{nearest}?");
                continue;
            }

            Descend(child, matches[0].PropertyType, mistakes);
        }
    }

    private static void Descend(IConfigurationSection section, Type type, List<string> mistakes)
    {
        if (IsLeaf(type))
        {
            return;
        }

        Type? element = ElementType(type);
        if (element is null)
        {
            Walk(section, [type], mistakes);
            return;
        }

        if (!IsLeaf(element))
        {
            foreach (var item in section.GetChildren())
            {
                Walk(item, [element], mistakes);
            }
        }
    }

    private static bool IsLeaf(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type.IsPrimitive || type.IsEnum || type == typeof(string) || type == typeof(Uri) || type == typeof(TimeSpan) || type == typeof(decimal);
    }

    private static Type? ElementType(Type type) =>
        type.IsArray ? type.GetElementType()
        : typeof(IEnumerable).IsAssignableFrom(type) && type.IsGenericType ? type.GetGenericArguments()[^1]
        : null;

    private static string Nearest(string key, IEnumerable<string> names) =>
        names.OrderBy(name => Distance(key.ToUpperInvariant(), name.ToUpperInvariant())).FirstOrDefault() ?? "(none)";

    // Levenshtein, two rows.
    private static int Distance(string left, string right)
    {
        int[] above = [.. Enumerable.Range(0, right.Length + 1)];
        for (int i = 1; i <= left.Length; i++)
        {
            int[] row = new int[right.Length + 1];
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int substitution = above[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
                row[j] = Math.Min(substitution, Math.Min(above[j], row[j - 1]) + 1);
            }

            above = row;
        }

        return above[right.Length];
    }
}
