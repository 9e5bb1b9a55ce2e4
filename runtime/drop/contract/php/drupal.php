<?php

namespace Pantheon\Internal;

use Drupal\Core\DependencyInjection\ContainerBuilder;
use Drupal\Core\DependencyInjection\ServiceProviderInterface;

/**
 * Drupal builds its service container anew when its caches are rebuilt: then
 * the edge forgets the environment's pages as well.
 */
class PantheonServiceProvider implements ServiceProviderInterface {

  public function register(ContainerBuilder $container) {
    \pantheon_clear_edge_all();
  }

}
